"""`rectokens`: its trie in a beam search, its residual quantiser, its RQ-k-means.

Its own search cannot be imported without a GPU, so `walk` follows its `decode_one_step` with the functions that
run anywhere (`CompactCSRTrie`, `vtnk_pytorch`). Its tokenizers compile themselves with `torch.compile`, which takes
a minute; here they run uncompiled, like all others.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from rectokens.decoding.vntk import vtnk_pytorch
from rectokens.quantizers.residual import ResidualQuantizer
from rectokens.schemas.compact_csr_trie import CompactCSRTrie
from rectokens.tokenizers.rq_kmeans import RQKMeansTokenizer
from rectokens.tokenizers.rqvae import VQQuantizer
from torch import Tensor, nn

from rivals.autoencoder import decoder, encoder
from rivals.contest import COMMITMENT, LATENT, QUANTISERS, Job, World, error_left, steps

KMEANS_BATCH = 1024
DENSE = 2  # levels with a dense table, its default


def trie_of(world: World) -> Any:
    """Its trie of the catalogue."""
    rows = torch.unique(world.codes, dim=0)  # sorted
    trie = CompactCSRTrie.from_sorted_batch(rows, world.sizes.codes, dense_lookup_layers=DENSE)
    # vtnk_pytorch reads as many entries as the largest node has, also from the last node on
    room = (0, max(trie.layer_max_branches))
    return trie._replace(stacked_cols_vals=F.pad(trie.stacked_cols_vals, room, value=-1))


def walk(world: World) -> list[Job]:
    """Beam search over logits drawn beforehand, log-softmax over the tokens that its trie allows."""
    trie = trie_of(world)

    @torch.inference_mode()
    def run() -> Tensor:
        return trie_beam(trie, world.logits)

    note = f"vtnk_pytorch, {DENSE} dense levels"
    return [Job("rectokens trie", run, world.sizes.requests, note, quality=world.best_score)]


def trie_beam(trie: Any, block: Tensor) -> Tensor:
    """Log-probabilities [B, W] of the beams after all levels; logits [B, W, K] are the same at every level."""
    rows, width, size = block.shape
    kept = min(width, size)  # candidates per beam
    tokens = torch.zeros(rows, 1, 0, dtype=torch.int64)  # [B, W, level]
    score = torch.zeros(rows, 1)
    node = following = columns = torch.zeros(0, dtype=torch.int64)
    for level in range(len(trie.layer_max_branches)):
        logits = block[:, : tokens.shape[1]].flatten(0, 1)  # [B W, K]
        path = tokens.flatten(0, 1)
        if level < DENSE:
            mask = trie.dense_mask_by_layer[level]
            logits = logits.masked_fill(~(mask[path.unbind(-1)] if level else mask[None]), -torch.inf)
        else:
            following, columns, logits = vtnk_pytorch(logits, node, trie, level)
        best, code = logits.log_softmax(-1).topk(kept)
        total = score[..., None] + best.view(rows, -1, kept)
        score, place = total.flatten(1).topk(min(width, total[0].numel()))
        parent = (torch.arange(rows)[:, None] * total.shape[1] + place // kept).flatten()
        code = code.view(rows, -1).gather(1, place)
        tokens = torch.cat([path[parent].view(*code.shape, level), code[..., None]], dim=-1)
        if level == DENSE - 1:
            node = trie.dense_states[tokens.flatten(0, 1).unbind(-1)]
        elif level >= DENSE:
            node = following[parent][columns[parent] == code.flatten()[:, None]]
    return score


class Autoencoder(nn.Module):
    """Its quantiser between the MLPs of the others; its tokenizer has hidden layers of one width only."""

    def __init__(self, codes: int) -> None:
        super().__init__()
        levels = [VQQuantizer(codes, LATENT, commitment_weight=COMMITMENT) for _ in range(QUANTISERS)]
        self.encoder, self.quantiser, self.decoder = encoder(), ResidualQuantizer(levels), decoder()

    def forward(self, x: Tensor) -> Tensor:
        """X [B, D] -> loss."""
        out = self.quantiser(self.encoder(x))
        return (self.decoder(out.quantized) - x).square().mean() + out.commitment_loss  # type: ignore[no-any-return]


def quantiser(world: World) -> list[Job]:
    """EMA codebooks, straight-through, restarts of dead codes."""
    torch.manual_seed(0)
    model = Autoencoder(world.sizes.codes)
    x = world.features[: world.sizes.quantised]
    count = world.sizes.quantiser_steps
    return [Job("rectokens VQQuantizer", steps(model, [lambda: model(x)] * count), count, "EMA codebooks")]


def kmeans(world: World) -> list[Job]:
    """One pass of mini-batches, its way to fit."""

    def run() -> Any:
        tokenizer = RQKMeansTokenizer(QUANTISERS, world.sizes.codes, world.sizes.dimensions)
        with torch.compiler.set_stance("force_eager"):
            for batch in torch.split(world.vectors, KMEANS_BATCH):
                tokenizer.fit_step(batch)
        return tokenizer

    def quality(fitted: Any) -> str:
        return error_left(world.vectors, [level.codebook.embeddings for level in fitted._rq.levels])

    note = f"one pass, batches of {KMEANS_BATCH}"
    return [Job("rectokens RQKMeansTokenizer", run, 1, note, quality=quality)]


SECTIONS = {"walk": walk, "quantiser": quantiser, "kmeans": kmeans}
