"""A code decoder that attends to the codes before, where `CodeDecoder` has only their sum.

One layer of the depth transformer of Lee et al. 2022 (RQ-Transformer, §3.2). The sum of the state and the embeddings
of the prefix stays the residual stream, as there, and asks; what it attends to are the parts of that sum. Keys and
values of a part depend on nothing else, so a beam caches them and never computes them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from genrec.errors import ConfigError
from genrec.generative.decoder import Level, LevelHead
from genrec.generative.dropout import Dropout
from genrec.generative.linear import Linear


class Prefix(NamedTuple):
    """The state and the codes so far.

    Attributes:
        total: [..., D], sum of the state and the embeddings of the codes.
        past: [..., l, 2 D], keys and values of the state and of the codes.
    """

    total: Tensor
    past: Tensor


class AttentionDecoder(nn.Module):
    """Predicts code l from attention over the state and the embeddings of codes 0 .. l - 1.

    Args:
        sizes: codebook sizes.
        width: D.
        dropout: on what attention adds and inside the level heads.
        heads: attention heads; must divide `width`.

    Raises:
        ConfigError: `heads` does not divide `width`.
    """

    def __init__(self, sizes: Sequence[int], width: int, dropout: float, heads: int = 4) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ConfigError(f"Timeline.width {width} must be a multiple of AttentionDecoder.heads {heads}")
        self.n_heads = heads
        self.prefix = nn.ModuleList(nn.Embedding(size, width) for size in sizes[:-1])
        for table in self.prefix:
            nn.init.normal_(table.weight, std=0.02)  # type: ignore[arg-type]
        self.place = nn.Parameter(torch.randn(len(sizes), width) * 0.02)  # which part, and which level asks
        self.part_norm = nn.LayerNorm(width)
        self.key_value = Linear(width, 2 * width, bias=True)
        self.total_norm = nn.LayerNorm(width)
        self.query = Linear(width, width, bias=True)
        self.out = Linear(width, width, bias=True)
        self.dropout = Dropout(dropout)
        self.heads = nn.ModuleList(LevelHead(width, size, dropout) for size in sizes)

    def teacher_forced(self, state: Tensor, codes: Tensor) -> list[Level]:
        """All levels for states [M, D], given the codes int64 [M, L] of the targets."""
        prefix = self.begin(state)
        levels = [self.answer(0, prefix)]
        for level in range(1, len(self.heads)):
            prefix = self.extend(level, prefix, codes[:, level - 1])
            levels.append(self.answer(level, prefix))
        return levels

    def beams(self, state: Tensor) -> AttentionBeams:
        """Decoding of states [B, D]."""
        return AttentionBeams(self, state)

    def begin(self, state: Tensor) -> Prefix:
        """States [..., D] without codes."""
        return Prefix(state, self._remembered(0, state))

    def extend(self, level: int, prefix: Prefix, code: Tensor) -> Prefix:
        """Prefixes [...] of level - 1 codes, and the code [...] that follows."""
        part = self.prefix[level - 1](code)
        past = torch.cat([prefix.past, self._remembered(level, part)], dim=-2)
        return Prefix(prefix.total + part, past)

    def answer(self, level: int, prefix: Prefix) -> Level:
        """What follows prefixes [...] of `level` codes: hidden [..., D], logits [..., K]."""
        query = self.query(self.total_norm(prefix.total + self.place[level]))
        query = rearrange(query, "... (one h d) -> ... one h d", one=1, h=self.n_heads)
        keys, values = rearrange(prefix.past, "... l (two h d) -> two ... l h d", two=2, h=self.n_heads)
        # thousands of tiny products: sums of elementwise ones are faster than a matrix product each
        weights = (query * keys).sum(-1, keepdim=True).mul(keys.shape[-1] ** -0.5).softmax(-3)
        mixed = (weights * values).sum(-3).flatten(-2)
        return self.heads[level](prefix.total + self.dropout(self.out(mixed)))  # type: ignore[no-any-return]

    def _remembered(self, level: int, part: Tensor) -> Tensor:
        """Keys and values of the part [..., D] that level `level` adds: [..., 1, 2 D]."""
        return self.key_value(self.part_norm(part + self.place[level])).unsqueeze(-2)  # type: ignore[no-any-return]


class AttentionBeams:
    """Beams of an `AttentionDecoder`; each carries (2 l + 1) D numbers after l - 1 codes.

    Args:
        decoder: trained.
        state: [B, D].
    """

    def __init__(self, decoder: AttentionDecoder, state: Tensor) -> None:
        self.decoder = decoder
        self.state = state
        self.prefix = decoder.begin(state[:, None])  # of [B, W] beams

    def start(self) -> Level:
        """The first level, [B, 1, ...]; forgets beams of a search before."""
        self.prefix = self.decoder.begin(self.state[:, None])
        return self.decoder.answer(0, self.prefix)

    def advance(self, level: int, parent: Tensor, code: Tensor) -> Level:
        """Continue beams by `code` [B, W] of level - 1."""
        rows = torch.arange(len(parent), device=parent.device)[:, None]
        chosen = Prefix(self.prefix.total[rows, parent], self.prefix.past[rows, parent])
        self.prefix = self.decoder.extend(level, chosen, code)
        return self.decoder.answer(level, self.prefix)

    def select(self, rows: Tensor) -> AttentionBeams:
        """The same for requests `rows` int64 [R], each with its beams so far."""
        chosen = AttentionBeams(self.decoder, self.state[rows])
        chosen.prefix = Prefix(self.prefix.total[rows], self.prefix.past[rows])
        return chosen
