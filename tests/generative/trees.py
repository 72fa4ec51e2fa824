"""Random trees, a scorer that looks its logits up, and plain-Python answers to compare with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

Codes = NDArray[np.int32]
Prefix = tuple[int, ...]


@dataclass(frozen=True)
class Ids:
    """Codes [N, L] of a catalogue."""

    codes: Codes
    sizes: tuple[int, ...]


@st.composite
def ids(draw: st.DrawFn, *, distinct: bool = False, most: int = 30) -> Ids:
    """Semantic ids in random order, of 1 to 4 levels with 1 to 5 codes."""
    sizes = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    row = st.tuples(*[st.integers(0, size - 1) for size in sizes])
    rows = draw(st.lists(row, min_size=1, max_size=most, unique=distinct))
    return Ids(np.array(rows, dtype=np.int32), sizes)


def prefixes(codes: Codes, depth: int) -> list[Prefix]:
    """Distinct prefixes of a length, in order; of full length, one per item, as leaves are."""
    rows = [tuple(row[:depth]) for row in codes.tolist()]
    return sorted(rows) if depth == codes.shape[1] else sorted(set(rows))


def children(codes: Codes, prefix: Prefix) -> list[int]:
    """The codes that follow a prefix, in order; at the last level, one per item."""
    depth = len(prefix)
    return [longer[-1] for longer in prefixes(codes, depth + 1) if longer[:-1] == prefix]


class TableScorer:
    """Logits per request and prefix, from tables `[B, prefixes, K]`, so that any order of questions agrees.

    Args:
        tables: one per level; prefix (a, b) of codebooks (A, B, ...) is row a * B + b.
    """

    def __init__(self, tables: list[Tensor]) -> None:
        self.tables = tables
        self.prefix = torch.zeros(len(tables[0]), 1, dtype=torch.int64)

    @classmethod
    def random(cls, sizes: tuple[int, ...], rows: int, seed: int, *, ties: bool = False) -> TableScorer:
        """Normal logits, or, for many equal scores, logits that are 0 or 1."""
        generator = torch.Generator().manual_seed(seed)
        counts = np.cumprod([1, *sizes[:-1]]).tolist()
        tables = [
            torch.randn(rows, n, size, generator=generator) for n, size in zip(counts, sizes, strict=True)
        ]
        return cls([(table > 0).float() for table in tables] if ties else tables)

    def start(self) -> Tensor:
        self.prefix = torch.zeros(len(self.tables[0]), 1, dtype=torch.int64)
        return self.tables[0]

    def advance(self, level: int, parent: Tensor, code: Tensor) -> Tensor:
        size = self.tables[level - 1].shape[-1]
        self.prefix = self.prefix.gather(1, parent) * size + code
        table = self.tables[level]
        return table.gather(1, self.prefix[..., None].expand(-1, -1, table.shape[-1]))

    def row(self, row: int) -> TableScorer:
        """The same logits for one request alone."""
        return TableScorer([table[row : row + 1] for table in self.tables])

    def log_prob(self, ids: Ids, row: int, item: int, over_tree: bool) -> float:
        """Log-probability of an item, from the definition, in double precision."""
        total, prefix, index = 0.0, (), 0
        for table, size, code in zip(self.tables, ids.sizes, ids.codes[item].tolist(), strict=True):
            logits = table[row, index].double().tolist()
            allowed = set(children(ids.codes, prefix)) if over_tree else range(size)
            total += logits[code] - math.log(sum(math.exp(logits[other]) for other in allowed))
            prefix, index = (*prefix, code), index * size + code
        return total
