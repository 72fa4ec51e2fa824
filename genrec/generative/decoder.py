"""The code decoder: from a history's state to the codes of the next item, level by level.

The idea is the depth transformer of Lee et al. 2022 (RQ-Transformer, §3.2), with one residual MLP per level
in place of attention: the prefix is at most L - 1 codes, and their sum of embeddings says it all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from genrec.generative.dropout import Dropout
from genrec.generative.linear import Linear


class Level(NamedTuple):
    """A decoder's answer at one level.

    Attributes:
        hidden: [..., D], what the logits were read from.
        logits: [..., K], of the level's codes.
    """

    hidden: Tensor
    logits: Tensor


class Beams(Protocol):
    """A decoder at work, one code at a time."""

    def start(self) -> Level:
        """The first level, [B, 1, ...]; forgets beams of a search before."""
        ...

    def advance(self, level: int, parent: Tensor, code: Tensor) -> Level:
        """Continue beams.

        Args:
            level: to answer for, 1 .. L - 1.
            parent: int64 [B, W], which of the beams of the call before each beam continues.
            code: int64 [B, W], the code of level - 1 that it takes.
        """
        ...

    def select(self, rows: Tensor) -> Beams:
        """The same for requests `rows` int64 [R], each with its beams so far; this one stays as it is."""
        ...


class Decoder(Protocol):
    """Turns states into codes; an `nn.Module`."""

    def teacher_forced(self, state: Tensor, codes: Tensor) -> list[Level]:
        """All levels for states [M, D], given the codes int64 [M, L] of the targets."""
        ...

    def beams(self, state: Tensor) -> Beams:
        """Decoding of states [B, D]."""
        ...


class LevelHead(nn.Module):
    """One level: a residual MLP and a classifier over the level's codes."""

    def __init__(self, width: int, size: int, dropout: float) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            Linear(width, 2 * width, bias=True),
            nn.GELU(),
            Dropout(dropout),
            Linear(2 * width, width, bias=True),
        )
        self.norm = nn.LayerNorm(width)
        self.classify = Linear(width, size, bias=True)

    def forward(self, h: Tensor) -> Level:
        """H [..., D] -> hidden [..., D], logits [..., K]."""
        hidden = self.norm(h + self.mlp(h))
        return Level(hidden, self.classify(hidden))


class CodeDecoder(nn.Module):
    """Predicts code l from state + sum of the embeddings of codes 0 .. l - 1.

    Args:
        sizes: codebook sizes.
        width: D.
        dropout: inside the level heads.
    """

    def __init__(self, sizes: Sequence[int], width: int, dropout: float) -> None:
        super().__init__()
        self.heads = nn.ModuleList(LevelHead(width, size, dropout) for size in sizes)
        self.prefix = nn.ModuleList(nn.Embedding(size, width) for size in sizes[:-1])
        for table in self.prefix:
            nn.init.normal_(table.weight, std=0.02)  # type: ignore[arg-type]

    def teacher_forced(self, state: Tensor, codes: Tensor) -> list[Level]:
        """All levels for states [M, D], given the codes int64 [M, L] of the targets."""
        h = state
        levels = [self.heads[0](h)]
        for level, (head, prefix) in enumerate(zip(self.heads[1:], self.prefix, strict=True)):
            h = h + prefix(codes[:, level])
            levels.append(head(h))
        return levels

    def beams(self, state: Tensor) -> CodeBeams:
        """Decoding of states [B, D]."""
        return CodeBeams(self, state)


class CodeBeams:
    """Beams of a `CodeDecoder`: the running sum of state and prefix embeddings is all they carry."""

    def __init__(self, decoder: CodeDecoder, state: Tensor) -> None:
        self.decoder = decoder
        self.state = state
        self.h = state[:, None]  # [B, W, D]

    def start(self) -> Level:
        """The first level, [B, 1, ...]; forgets beams of a search before."""
        self.h = self.state[:, None]
        return self.decoder.heads[0](self.h)  # type: ignore[no-any-return]

    def advance(self, level: int, parent: Tensor, code: Tensor) -> Level:
        """Continue beams by `code` [B, W] of level - 1."""
        chosen = self.h.gather(1, parent[..., None].expand(-1, -1, self.h.shape[-1]))
        self.h = chosen + self.decoder.prefix[level - 1](code)
        return self.decoder.heads[level](self.h)  # type: ignore[no-any-return]

    def select(self, rows: Tensor) -> CodeBeams:
        """The same for requests `rows` int64 [R], each with its beams so far."""
        chosen = CodeBeams(self.decoder, self.state[rows])
        chosen.h = self.h[rows]
        return chosen
