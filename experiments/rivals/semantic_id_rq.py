"""`semantic-id`: its RQ-VAE and its RQ-k-means."""

from __future__ import annotations

from typing import Any

import torch
from semantic_id import RQKMeans
from semantic_id.algorithms import RQVAEModule
from torch import Tensor

from rivals.contest import COMMITMENT, FEATURES, HIDDEN, LATENT, QUANTISERS, Job, World, error_left, steps


def quantiser(world: World) -> list[Job]:
    """Straight-through, learned codebooks, k-means start; steps as in its `fit`."""
    torch.manual_seed(0)
    module = RQVAEModule(
        in_dim=FEATURES,
        num_emb_list=[world.sizes.codes] * QUANTISERS,
        e_dim=LATENT,
        layers=list(HIDDEN),
        beta=COMMITMENT,
        kmeans_init=True,
        kmeans_iters=10,
    )
    x = world.features[: world.sizes.quantised]

    def loss() -> Tensor:
        restored, quantisation, _ = module(x)
        return module.compute_loss(restored, quantisation, x)[0]  # type: ignore[no-any-return]

    count = world.sizes.quantiser_steps
    return [Job("semantic-id RQVAE", steps(module, [loss] * count), count, "learned codebooks")]


def kmeans(world: World) -> list[Job]:
    """One start in place of its ten, so that all contenders have one."""
    vectors = world.vectors.numpy()

    def run() -> Any:
        return RQKMeans(
            n_levels=QUANTISERS,
            n_clusters=world.sizes.codes,
            max_iter=world.sizes.iterations,
            n_init=1,
            random_state=0,
        ).fit(vectors)

    def quality(fitted: Any) -> str:
        return error_left(world.vectors, [torch.from_numpy(book) for book in fitted.codebooks_])

    note = f"scikit-learn, {world.sizes.iterations} iterations, 1 start"
    return [Job("semantic-id RQKMeans", run, 1, note, quality=quality)]


SECTIONS = {"quantiser": quantiser, "kmeans": kmeans}
