"""Popularity: the same list for everyone, and the floor under every other method."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genrec.data.histories import Histories
from genrec.data.tables import NO_TIMESTAMP, Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.recall.base import ScoringRecaller

SECONDS_PER_DAY = 86_400


class Popularity(ScoringRecaller):
    """Items by their number of training events."""

    personal = False

    def _fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> None:
        self.weights = train.item_counts().astype(np.float32)  # [N]

    def _score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        return np.broadcast_to(self.weights, (len(users), len(self.weights)))


class RecentPopularity(ScoringRecaller):
    """Items by their number of training events, each halved for every half-life of its age.

    Age is counted back from the last training event. Without timestamps, an event's age is the share of its
    user's events that came after it. In a dataset with times, an event without one is as old as the oldest.

    Args:
        half_life_days: used with timestamps.
        half_life_share: used without; 0.25 halves the weight for every quarter of a history.
        batch_size: users scored at once.
    """

    personal = False

    def __init__(
        self, half_life_days: float = 30.0, half_life_share: float = 0.25, batch_size: int = 256
    ) -> None:
        super().__init__(batch_size)
        for name, value in (("half_life_days", half_life_days), ("half_life_share", half_life_share)):
            if not (np.isfinite(value) and value > 0):
                raise ConfigError(f"RecentPopularity.{name} must be a positive number, got {value}")
        self.half_life_days = half_life_days
        self.half_life_share = half_life_share

    def _fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> None:
        decayed = 0.5 ** self._half_lives(train)
        counts = np.bincount(train.items, weights=decayed, minlength=train.n_items)
        self.weights = counts.astype(np.float32)  # [N]

    def _half_lives(self, train: Interactions) -> NDArray[np.float64]:
        """Age of every event in half-lives [E]."""
        times = train.timestamps
        known = None if times is None else times != NO_TIMESTAMP
        if times is None or known is None or not known.any():
            return _share_after(self.histories) / self.half_life_share
        seconds = np.where(known, times, times[known].min()).astype(np.float64)
        return np.asarray((seconds.max() - seconds) / (SECONDS_PER_DAY * self.half_life_days))

    def _score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        return np.broadcast_to(self.weights, (len(users), len(self.weights)))


def _share_after(histories: Histories) -> NDArray[np.float64]:
    """Share of its user's events that come after each event [E], in 0..1."""
    lengths = histories.lengths
    after = np.repeat(histories.offsets[1:], lengths) - 1 - np.arange(len(histories.items))
    return np.asarray(after / np.repeat(lengths, lengths))
