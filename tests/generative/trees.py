"""Random trees, a scorer that looks its logits up, slices of histories, and plain-Python answers to compare with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from genrec.generative.base import Window
from genrec.generative.seen import NodeFilter
from genrec.generative.softmax import child_log_probs
from genrec.generative.tree import CodeTree

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


def window(items: Tensor) -> Window:
    """Histories int64 [B, T] of users 0 .. B - 1, without times."""
    return Window(items, torch.arange(len(items)))


def histories(tree: CodeTree, seed: int) -> tuple[Tensor, Tensor]:
    """Items that each of three requests has seen: nothing, some (one of them twice), and everything."""
    rng = np.random.default_rng(seed)
    some = rng.integers(0, tree.n_items, size=int(rng.integers(1, tree.n_items + 1)))
    item = np.concatenate([some, some[:1], np.arange(tree.n_items)])
    row = np.repeat([1, 2], [len(some) + 1, tree.n_items])
    return torch.from_numpy(row), torch.from_numpy(item)


def shut_nodes(tree: CodeTree, nodes: NodeFilter, level: int, rows: Tensor) -> Tensor:
    """Which nodes of depth level + 1 are shut for requests [R]: bool [R, n_nodes], the children of all parents."""
    parents = torch.arange(tree.n_nodes(level)).expand(len(rows), -1)
    return nodes.shut(level, parents, rows)[:, tree.children(level, parents[0])[1]]


class TableScorer:
    """Logits per request and prefix, from tables `[B, prefixes, K]`, so that any order of questions agrees.

    Args:
        tree: of the ids.
        tables: one per level; prefix (a, b) of codebooks (A, B, ...) is row a * B + b.
        over_tree: normalise over the children that exist.
    """

    def __init__(self, tree: CodeTree, tables: list[Tensor], *, over_tree: bool = True) -> None:
        self.tree, self.tables, self.over_tree = tree, tables, over_tree
        self.prefix = torch.zeros(len(tables[0]), 1, dtype=torch.int64)

    @classmethod
    def random(
        cls, tree: CodeTree, rows: int, seed: int, *, ties: bool = False, over_tree: bool = True
    ) -> TableScorer:
        """Normal logits, or, for many equal scores, logits that are 0 or 1."""
        generator = torch.Generator().manual_seed(seed)
        counts = np.cumprod([1, *tree.sizes[:-1]]).tolist()
        tables = [
            torch.randn(rows, n, size, generator=generator)
            for n, size in zip(counts, tree.sizes, strict=True)
        ]
        if ties:
            tables = [(table > 0).float() for table in tables]
        return cls(tree, tables, over_tree=over_tree)

    def start(self) -> Tensor:
        self.prefix = torch.zeros(len(self.tables[0]), 1, dtype=torch.int64)
        return self._children(0, torch.zeros_like(self.prefix))

    def advance(self, level: int, parent: Tensor, node: Tensor) -> Tensor:
        code = self.tree.child_code[level - 1][node]
        self.prefix = self.prefix.gather(1, parent) * self.tree.sizes[level - 1] + code
        return self._children(level, node)

    def _children(self, level: int, node: Tensor) -> Tensor:
        table = self.tables[level]
        logits = table.gather(1, self.prefix[..., None].expand(-1, -1, table.shape[-1]))
        return child_log_probs(logits, self.tree, level, node, self.over_tree)

    def select(self, rows: Tensor) -> TableScorer:
        chosen = TableScorer(self.tree, [table[rows] for table in self.tables], over_tree=self.over_tree)
        chosen.prefix = self.prefix[rows]
        return chosen

    def log_prob(self, ids: Ids, row: int, item: int) -> float:
        """Log-probability of an item, from the definition, in double precision."""
        total, prefix, index = 0.0, (), 0
        for table, size, code in zip(self.tables, ids.sizes, ids.codes[item].tolist(), strict=True):
            logits = table[row, index].double().tolist()
            allowed = set(children(ids.codes, prefix)) if self.over_tree else range(size)
            total += logits[code] - math.log(sum(math.exp(logits[other]) for other in allowed))
            prefix, index = (*prefix, code), index * size + code
        return total
