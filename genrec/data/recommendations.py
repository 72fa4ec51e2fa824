"""Recommendations: what every recaller returns and every metric reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Recommendations:
    """Ranked items for users; item-level, distinct per user, catalogue-valid.

    Attributes:
        users: int32 [U], dense user indices.
        items: int32 [U, k], best first; -1 after the last where a user has fewer than k.
        scores: float32 [U, k], non-increasing along a row; -inf where the item is -1.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.items.shape != self.scores.shape or len(self.users) != len(self.items):
            raise ValueError(
                f"shapes differ: users {self.users.shape}, items {self.items.shape}, scores {self.scores.shape}"
            )

    @property
    def k(self) -> int:
        """Length of every list."""
        return int(self.items.shape[1])
