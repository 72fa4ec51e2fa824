"""Cold items: in the catalogue, but never a target of training.

As negatives of every softmax they would learn only that they are never taken, and could not be generated though
their content says that they fit. So no softmax of training runs over them, and what a trained model thinks of them
rests on what they share with other items: codes and features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genrec.generative.tree import CodeTree


@dataclass(frozen=True)
class ColdNodes:
    """Nodes of a tree below which all items are cold.

    Attributes:
        tree: whose nodes.
        items: bool [N], the cold items.
        warm: int64 [N'], the others, ascending.
        nodes: L tensors bool [n_{d+1}], for nodes of depth 1 .. L.
        levels: for each, whether there is any.
    """

    tree: CodeTree
    items: Tensor
    warm: Tensor
    nodes: tuple[Tensor, ...]
    levels: tuple[bool, ...]

    @classmethod
    def of(cls, tree: CodeTree, cold: Tensor) -> ColdNodes:
        """From a mask of the cold items, bool [N]."""
        warm = torch.nonzero(~cold)[:, 0]
        nodes = []
        for level, count in enumerate(tree.leaf_count):
            below = torch.ones(len(count), dtype=torch.bool, device=cold.device)
            below[tree.item_path[warm, level].long()] = False
            nodes.append(below)
        return cls(tree, cold, warm, tuple(nodes), tuple(bool(below.any()) for below in nodes))

    def map(self, change: Callable[[Tensor], Tensor]) -> ColdNodes:
        """The same with every tensor changed, for instance moved to a device."""
        nodes = tuple(map(change, self.nodes))
        return ColdNodes(self.tree.map(change), change(self.items), change(self.warm), nodes, self.levels)

    def valid_codes(self, level: int, parents: Tensor) -> Tensor:
        """`CodeTree.valid_codes` of nodes [M] of a depth, without the codes of cold children: bool [M, K]."""
        valid = self.tree.valid_codes(level, parents)
        if self.levels[level]:
            row, _, child = self.tree.real_children(level, parents)
            cold = self.nodes[level][child]
            valid[row[cold], self.tree.child_code[level][child[cold]].long()] = False
        return valid
