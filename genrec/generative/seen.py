"""History masking inside the search: nodes whose every item the user has seen are closed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genrec.generative.tree import CodeTree


@dataclass(frozen=True)
class ClosedNodes:
    """For a batch of requests, the nodes below which nothing may be recommended.

    Attributes:
        keys: per depth 1 .. L, sorted int64 [C]: `row * n_nodes + node` of each closed node.
        n_nodes: per depth 1 .. L.
    """

    keys: tuple[Tensor, ...]
    n_nodes: tuple[int, ...]

    @classmethod
    def of(cls, tree: CodeTree, row: Tensor, item: Tensor) -> ClosedNodes:
        """Close the given items.

        Args:
            row: int64 [M], the request each item belongs to.
            item: int64 [M]; an item given twice counts once.
        """
        pair = torch.unique(row * tree.n_items + item)
        row, item = pair // tree.n_items, pair % tree.n_items
        keys, n_nodes = [], []
        for level in range(tree.n_levels):
            n = tree.n_nodes(level + 1)
            found, count = torch.unique(row * n + tree.item_path[item, level], return_counts=True)
            keys.append(found[count == tree.leaf_count[level][found % n]])
            n_nodes.append(n)
        return cls(tuple(keys), tuple(n_nodes))

    def contains(self, level: int, nodes: Tensor) -> Tensor:
        """Whether nodes int64 [B, ...] of depth level + 1 are closed for the request of their row: bool."""
        keys = self.keys[level]
        if not len(keys):
            return torch.zeros_like(nodes, dtype=torch.bool)
        rows = torch.arange(len(nodes), device=nodes.device).view(-1, *[1] * (nodes.dim() - 1))
        wanted = rows * self.n_nodes[level] + nodes
        place = torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)
        return keys[place] == wanted
