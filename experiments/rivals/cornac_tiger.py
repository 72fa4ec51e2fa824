"""`cornac`: the modules of its TIGER, called as its `fit` and `score` call them."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import Any

import numpy as np
import torch
from cornac.models.tiger.tiger import RQVAE, TIGERSeq2Seq, _kmeans
from torch import Tensor

from rivals.contest import (
    COMMITMENT,
    DROPOUT,
    FEATURES,
    FEED,
    HEAD_WIDTH,
    HEADS,
    HIDDEN,
    LATENT,
    LAYERS,
    QUANTISERS,
    Job,
    World,
    error_left,
    millions,
    steps,
)

USERS_IN_TURN = 4  # its search takes one user at a time, so that a few tell the time of all


def model(world: World) -> Any:
    """Its T5 of the paper's size."""
    torch.manual_seed(0)
    return TIGERSeq2Seq(
        world.level_sizes,
        d_model=world.sizes.width,
        d_ff=FEED,
        num_heads=HEADS,
        d_kv=HEAD_WIDTH,
        num_enc_layers=LAYERS,
        num_dec_layers=LAYERS,
        dropout=DROPOUT,
    )


def tokens(world: World, offsets: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """Histories int64 [B, T] -> (tokens [B, history x L], mask), padded in front to full length as it does."""
    sizes = world.sizes
    full = torch.full((len(items), sizes.history), -1)
    full[:, : items.shape[1]] = items
    order = torch.argsort((full >= 0).int(), dim=1, stable=True)  # padding first, items in their order
    full = full.gather(1, order)
    ids = (world.codes[full.clamp_min(0)] + offsets) * (full >= 0)[..., None]
    ids = ids.flatten(1)
    return ids, (ids != 0).float()


def training(world: World) -> list[Job]:
    """Random batches, all padded to the longest history."""
    tiger = model(world)
    batch = world.batches(bucketed=False, count=1)[0]
    inputs = tokens(world, tiger.offsets, batch.history)
    run = steps(tiger, [partial(tiger, *inputs, world.codes[batch.target])])
    return [Job("cornac TIGER", run, len(batch.target), f"1 x {len(batch.target)} rows, {millions(tiger)}")]


def generation(world: World) -> list[Job]:
    """`generate_beam`, user after user."""
    tiger = model(world).eval()
    children: list[dict[tuple[int, ...], list[int]]] = [defaultdict(list) for _ in world.level_sizes]
    for row in np.unique(world.codes.numpy(), axis=0).tolist():
        for level, code in enumerate(row):
            known = children[level][tuple(row[:level])]
            if not known or known[-1] != code:  # rows are sorted
                known.append(code)
    lookup = [{prefix: np.array(codes) for prefix, codes in level.items()} for level in children]
    ids, mask = tokens(world, tiger.offsets, world.requests.items[:USERS_IN_TURN])

    def run() -> None:
        for row in range(len(ids)):
            tiger.generate_beam(ids[row : row + 1], mask[row : row + 1], world.sizes.beams, lookup)

    return [Job("cornac TIGER generate_beam", run, len(ids), f"one user at a time, {millions(tiger)}")]


def quantiser(world: World) -> list[Job]:
    """Its RQ-VAE: straight-through, learned codebooks, k-means++ start."""
    torch.manual_seed(0)
    rqvae = RQVAE(FEATURES, HIDDEN, LATENT, QUANTISERS, world.sizes.codes, COMMITMENT)
    rqvae.kmeans_init_codebooks(world.features)
    x = world.features[: world.sizes.quantised]

    def loss() -> Tensor:
        _, _, reconstruction, quantisation = rqvae(x)
        return reconstruction + quantisation  # type: ignore[no-any-return]

    count = world.sizes.quantiser_steps
    return [Job("cornac RQVAE", steps(rqvae, [loss] * count), count, "learned codebooks")]


def kmeans(world: World) -> list[Job]:
    """What its `tokenizer='rkmeans'` does."""

    def run() -> list[Tensor]:
        torch.manual_seed(0)
        residual, books = world.vectors, []
        for _ in range(QUANTISERS):
            books.append(_kmeans(residual, world.sizes.codes, world.sizes.iterations))
            residual = residual - books[-1][torch.cdist(residual, books[-1]).argmin(1)]
        return books

    quality = partial(error_left, world.vectors)
    return [Job("cornac rkmeans", run, 1, f"{world.sizes.iterations} iterations", quality=quality)]


SECTIONS = {"training": training, "generation": generation, "quantiser": quantiser, "kmeans": kmeans}
