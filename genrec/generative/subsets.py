"""Search among some of the items only: those in stock, those of a genre."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from genrec.generative.seen import NodeSets


@dataclass(frozen=True)
class OpenNodes:
    """For a batch of requests, the nodes below which an item of the request's subset is left to recommend.

    Attributes:
        allowed: subsets of the catalogue, each a group of its own.
        which: int64 [B], the subset of each request.
        closed: for each request, the nodes whose every allowed item was seen.
    """

    allowed: NodeSets
    which: Tensor
    closed: NodeSets

    @classmethod
    def of(cls, allowed: NodeSets, which: Tensor, row: Tensor, item: Tensor) -> OpenNodes:
        """Open the subsets but for the given items.

        Args:
            allowed: subsets of the catalogue.
            which: int64 [B], the subset of each request.
            row: int64 [M], the request each item belongs to.
            item: int64 [M], of any subset or none; an item given twice counts once.
        """
        tree = allowed.tree
        last = tree.n_levels - 1
        inside = allowed.counted(last, which[row], tree.item_path[item, last].long()) > 0
        seen = NodeSets.of(tree, row[inside], item[inside])
        closed = seen.only_full(lambda level, group, node: allowed.counted(level, which[group], node))
        return cls(allowed, which, closed)

    def shut(self, level: int, nodes: Tensor, rows: Tensor) -> Tensor:
        """Children without items of the row's subset, or with seen ones only."""
        here = self.allowed.children(level, nodes, self.which[rows])
        return ~here | self.closed.children(level, nodes, rows)
