"""What the generative models have in common: a tree that they generate from, and settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from torch import Tensor, nn

from genrec.generative.cold import ColdNodes
from genrec.generative.tree import CodeTree


class TreeModel(nn.Module):
    """A module that generates the ids of a tree; moving it moves the tree.

    Args:
        tree: of the semantic ids.
        settings: its other arguments, from which it can be made again.
    """

    def __init__(self, tree: CodeTree, settings: dict[str, Any]) -> None:
        super().__init__()
        self.tree = tree
        self.settings = settings
        self.cold: ColdNodes | None = None

    @property
    def max_length(self) -> int:
        """T, the longest history it reads."""
        return int(self.settings["max_length"])

    def leave_out(self, cold: Tensor) -> None:
        """Train without some items, bool [N], as negatives: those that are never a target."""
        self.cold = ColdNodes.of(self.tree, cold.to(self.tree.leaf_item.device)) if cold.any() else None

    @contextmanager
    def fixed(self) -> Iterator[None]:
        """Within, weights stay as they are: what depends on them alone may be computed once."""
        yield

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.tree = self.tree.map(fn)
        self.cold = None if self.cold is None else self.cold.map(fn)
        return self
