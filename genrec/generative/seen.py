"""History masking inside the search: nodes whose every item the user has seen are closed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from genrec.generative.tree import CodeTree


class NodeFilter(Protocol):
    """Which nodes a search may visit, for each request of a batch."""

    def shut(self, level: int, nodes: Tensor, rows: Tensor) -> Tensor:
        """Children below which nothing may be recommended.

        Args:
            level: depth of `nodes`.
            nodes: int64 [R, W].
            rows: int64 [R], the request that each row of nodes belongs to.

        Returns:
            bool [R, W, F_level], in the order of `CodeTree.children`; anything where a child does not exist.
        """
        ...


@dataclass(frozen=True)
class NodeSets:
    """For groups of items, the nodes above them.

    Attributes:
        tree: whose nodes they are.
        keys: per depth 1 .. L, sorted int64 [C]: `group * n_nodes + node` of each node with items of the group.
        counts: per depth, int64 [C]: how many.
    """

    tree: CodeTree
    keys: tuple[Tensor, ...]
    counts: tuple[Tensor, ...]

    @classmethod
    def of(cls, tree: CodeTree, group: Tensor, item: Tensor) -> NodeSets:
        """From pairs: `item` int64 [M] belongs to `group` int64 [M]; a pair given twice counts once."""
        pair = torch.unique(group * tree.n_items + item)
        group, item = pair // tree.n_items, pair % tree.n_items
        keys, counts = [], []
        for level in range(tree.n_levels):
            key = group * tree.n_nodes(level + 1) + tree.item_path[item, level]
            found, count = torch.unique(key, return_counts=True)
            keys.append(found)
            counts.append(count)
        return cls(tree, tuple(keys), tuple(counts))

    def counted(self, level: int, group: Tensor, node: Tensor) -> Tensor:
        """Items of groups [M] below nodes [M] of depth level + 1: int64 [M]."""
        keys = self.keys[level]
        if not len(keys):
            return torch.zeros_like(node)
        wanted = group * self.tree.n_nodes(level + 1) + node
        place = torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)
        return torch.where(keys[place] == wanted, self.counts[level][place], 0)

    def only_full(self, room: Callable[[int, Tensor, Tensor], Tensor]) -> NodeSets:
        """Without the nodes that hold fewer items of their group than `room(level, group [C], node [C])`."""
        keys, counts = [], []
        for level, (key, count) in enumerate(zip(self.keys, self.counts, strict=True)):
            n = self.tree.n_nodes(level + 1)
            full = count == room(level, key // n, key % n)
            keys.append(key[full])
            counts.append(count[full])
        return NodeSets(self.tree, tuple(keys), tuple(counts))

    def children(self, level: int, nodes: Tensor, group: Tensor) -> Tensor:
        """Which children of nodes [R, W] of depth `level` have items of each row's group [R]: bool [R, W, F]."""
        keys, width = self.keys[level], self.tree.fanout[level]
        first, stop = self.tree.child_range(level, nodes)
        offset = group[:, None] * self.tree.n_nodes(level + 1)
        low, high = (torch.searchsorted(keys, (offset + end).flatten()) for end in (first, stop))
        cell = torch.repeat_interleave(high - low)  # a node's own keys are a run, whatever their number
        nth = torch.arange(len(cell), device=cell.device) - (torch.cumsum(high - low, 0) - high + low)[cell]
        child = keys[low[cell] + nth] - (offset + first).flatten()[cell]
        marked = torch.zeros(nodes.numel() * width, dtype=torch.bool, device=nodes.device)
        marked[cell * width + child] = True
        return marked.view(*nodes.shape, width)


@dataclass(frozen=True)
class ClosedNodes:
    """For a batch of requests, the nodes below which every item was seen.

    Attributes:
        closed: a group for each request.
    """

    closed: NodeSets

    @classmethod
    def of(cls, tree: CodeTree, row: Tensor, item: Tensor) -> ClosedNodes:
        """Close the given items.

        Args:
            row: int64 [M], the request each item belongs to.
            item: int64 [M]; an item given twice counts once.
        """
        seen = NodeSets.of(tree, row, item)
        return cls(seen.only_full(lambda level, _, node: tree.leaf_count[level][node]))

    def shut(self, level: int, nodes: Tensor, rows: Tensor) -> Tensor:
        """Children all of whose items the request of the row has seen."""
        return self.closed.children(level, nodes, rows)
