"""What a generative model is to training, to search and to recall."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

from torch import Tensor

from genrec.generative.tree import CodeTree


@dataclass(frozen=True)
class Window:
    """Slices of the histories of a batch of users, oldest item first.

    Attributes:
        items: int64 [B, T], padded at the end with -1.
        users: int64 [B], whose history each row is.
        times: int64 [B, T] seconds, padded at the end with 0; None where the data has no timestamps.
    """

    items: Tensor
    users: Tensor
    times: Tensor | None = None

    def to(self, device: Any) -> Window:
        """The same on a device."""
        times = None if self.times is None else self.times.to(device)
        return Window(self.items.to(device), self.users.to(device), times)


class NodeScorer(Protocol):
    """A model's answer to "which node of the tree comes next?" for B requests; keeps its own state per beam."""

    def start(self) -> Tensor:
        """Log-probabilities of the root's children [B, 1, F_0]; forgets beams of a search before."""
        ...

    def advance(self, level: int, parent: Tensor, node: Tensor) -> Tensor:
        """Continue beams and score their children.

        Args:
            level: of the code to score now, 1 .. L - 1.
            parent: int64 [B, W], which of the beams of the call before each beam continues; any W, also more
                than there were beams.
            node: int64 [B, W], the node of depth `level` that it moves to.

        Returns:
            Log-probabilities [B, W, F_level] of the children of `node` in the order of `CodeTree.children`; what it
            holds where a child does not exist is not looked at.
        """
        ...

    def select(self, rows: Tensor) -> NodeScorer:
        """The same for some of the requests, int64 [R] in any order and repeatedly, each with its beams so far.

        This scorer stays as it is, so that a search can continue it in several ways, one after the other.
        """
        ...


@runtime_checkable
class ItemScorer(Protocol):
    """A scorer that need not walk the tree to score every item."""

    def item_log_probs(self) -> Tensor:
        """Log-probability of every item [B, N]."""
        ...


class GenerativeModel(Protocol):
    """A model that generates semantic ids; an `nn.Module`."""

    tree: CodeTree
    settings: dict[str, Any]

    @property
    def max_length(self) -> int:
        """T, the longest history it reads."""
        ...

    def eval(self) -> Self:
        """Without dropout, as `nn.Module.eval`."""
        ...

    def leave_out(self, cold: Tensor) -> None:
        """Train without some items, bool [N], as negatives: those that are never a target."""
        ...

    def scorer(self, window: Window) -> NodeScorer:
        """A search over the codes that follow each history."""
        ...

    def fixed(self) -> AbstractContextManager[None]:
        """Within, weights stay as they are: what depends on them alone may be computed once."""
        ...

    def forward(self, window: Window, first: Tensor) -> dict[str, Tensor]:
        """Losses: `loss` and its parts, scalars, each a mean over targets.

        Args:
            window: histories; its items from `first` on are targets.
            first: int64 [B], position of the first target; earlier items are context only.
        """
        ...
