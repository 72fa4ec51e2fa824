"""The repeat term: how much more, or less, likely an item is for having been taken before.

Whether users take things twice is a property of the data (groceries: yes; reviews: never), and one number per
level says most of it, so it is learned. The idea of treating repeats apart is that of RepeatNet (Ren et al. 2019).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrec.generative.base import Window
from genrec.generative.seen import NodeSets
from genrec.generative.tree import CodeTree


def taken_before(items: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct items that stand before each target.

    Args:
        items: int64 [B, T], padded at the end with -1.
        targets: bool [B, T], M of them true, numbered in this order.

    Returns:
        (target int64 [P] in 0 .. M - 1, item int64 [P]), one pair per target and item before it.
    """
    length = items.shape[1]
    earlier = torch.ones(length, length, dtype=torch.bool, device=items.device).tril(-1)
    new = ~((items[:, :, None] == items[:, None, :]) & earlier).any(-1)  # [B, T], first time in this row
    row, position = torch.nonzero(targets, as_tuple=True)
    target, column = torch.nonzero(new[row] & earlier[position], as_tuple=True)
    return target, items[row[target], column]


class RepeatWeight(nn.Module):
    """What repeats are worth, as logits [n], at first 0.

    Adam moves a parameter by about its learning rate a step, and "never again" is some ten logits away, farther
    than it comes in a training of usual length: these parameters count for more.

    Args:
        n: how many.
    """

    SCALE = 32.0

    def __init__(self, n: int) -> None:
        super().__init__()
        self.scaled = nn.Parameter(torch.zeros(n))

    def forward(self) -> Tensor:
        """[n]."""
        return self.scaled * self.SCALE


class Repeat(nn.Module):
    """Adds `weight * (share of the items below a node that were taken before)` to the node's logit.

    Args:
        n_levels: L.
    """

    def __init__(self, n_levels: int) -> None:
        super().__init__()
        self.weight = RepeatWeight(n_levels)

    def on_path(
        self, tree: CodeTree, level: int, target_path: Tensor, pairs: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What is added to the logits of the codes that follow a target's prefix.

        Args:
            tree: of the ids.
            level: 0 .. L - 1.
            target_path: int64 [M, L], nodes of depth 1 .. L of the targets.
            pairs: of `taken_before`.

        Returns:
            (row int64 [S], code int64 [S], added [S]); the same code may be named several times, once per item.
        """
        row, item = pairs
        path = tree.item_path[item]
        if level > 0:
            under = path[:, level - 1] == target_path[row, level - 1]
            row, path = row[under], path[under]
        node = path[:, level].long()
        return row, tree.child_code[level][node].long(), self.weight()[level] / tree.leaf_count[level][node]

    def on_children(self, tree: CodeTree, level: int, child: Tensor, rows: Tensor, taken: NodeSets) -> Tensor:
        """The same for nodes `child` [S] of depth level + 1, of requests `rows` [S] whose items are `taken`."""
        weight: Tensor = self.weight()[level]
        return weight * taken.counted(level, rows, child) / tree.leaf_count[level][child]


def taken(window: Window, n_items: int) -> tuple[Tensor, Tensor]:
    """The distinct items of each history: (row int64 [P] in 0 .. B - 1, item int64 [P])."""
    row, column = torch.nonzero(window.items >= 0, as_tuple=True)
    pair = torch.unique(row * n_items + window.items[row, column])
    return pair // n_items, pair % n_items


def taken_nodes(tree: CodeTree, window: Window) -> NodeSets:
    """The nodes above the items of each history."""
    return NodeSets.of(tree, *taken(window, tree.n_items))
