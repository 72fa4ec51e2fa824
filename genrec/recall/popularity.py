"""Popularity: the same list for everyone, and the floor under every other method."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from genrec.data.histories import Histories
from genrec.data.tables import NO_TIMESTAMP, Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.recall.base import ScoringRecaller
from genrec.recall.history import SECONDS_PER_DAY, check_positive


class CountingRecaller(ScoringRecaller):
    """Base of recallers that add up a weight of every training event of an item: a subclass implements `_counted`."""

    learned: ClassVar[tuple[str, ...]] = ("weights",)
    personal = False

    def _fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> None:
        counts = np.bincount(train.items, weights=self._counted(train), minlength=train.n_items)
        self.weights = counts.astype(np.float32)  # [N]

    @abstractmethod
    def _counted(self, train: Interactions) -> NDArray[np.float64]:
        """How much each event counts [E]."""

    def _score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        return np.broadcast_to(self.weights, (len(users), len(self.weights)))


class Popularity(CountingRecaller):
    """Items by their number of training events."""

    def _counted(self, train: Interactions) -> NDArray[np.float64]:
        return np.ones(len(train))


class WindowedPopularity(CountingRecaller):
    """Items by their number of training events in the last days.

    Days are counted back from the last training event. Without timestamps, each user's last events count instead. In
    a dataset with times, an event without one is as old as the oldest.

    Args:
        days: used with timestamps.
        share: of each user's events, used without; at least the last event of everyone counts.
        batch_size: users scored at once.
    """

    def __init__(self, days: float = 90.0, share: float = 0.25, batch_size: int = 256) -> None:
        super().__init__(batch_size)
        if not 0 < share <= 1:
            raise ConfigError(f"WindowedPopularity.share must be above 0 and at most 1, got {share}")
        self.days = check_positive(self, "days", days)
        self.share = share

    def _counted(self, train: Interactions) -> NDArray[np.float64]:
        age = seconds_before_last(train)
        recent = (
            _share_after(self.histories) < self.share if age is None else age <= SECONDS_PER_DAY * self.days
        )
        return recent.astype(np.float64)


class RecentPopularity(CountingRecaller):
    """Items by their number of training events, each halved for every half-life of its age.

    Age is counted back from the last training event. Without timestamps, an event's age is the share of its
    user's events that came after it. In a dataset with times, an event without one is as old as the oldest.

    Args:
        half_life_days: used with timestamps.
        half_life_share: used without; 0.25 halves the weight for every quarter of a history.
        batch_size: users scored at once.
    """

    def __init__(
        self, half_life_days: float = 30.0, half_life_share: float = 0.25, batch_size: int = 256
    ) -> None:
        super().__init__(batch_size)
        self.half_life_days = check_positive(self, "half_life_days", half_life_days)
        self.half_life_share = check_positive(self, "half_life_share", half_life_share)

    def _counted(self, train: Interactions) -> NDArray[np.float64]:
        age = seconds_before_last(train)
        if age is None:
            half_lives = _share_after(self.histories) / self.half_life_share
        else:
            half_lives = age / (SECONDS_PER_DAY * self.half_life_days)
        return np.asarray(0.5**half_lives)


def seconds_before_last(train: Interactions) -> NDArray[np.float64] | None:
    """Age of every event [E], back from the last; without a time it is as old as the oldest; None if none has one."""
    times = train.timestamps
    known = None if times is None else times != NO_TIMESTAMP
    if times is None or known is None or not known.any():
        return None
    seconds = np.where(known, times, times[known].min()).astype(np.float64)
    return np.asarray(seconds.max() - seconds)


def _share_after(histories: Histories) -> NDArray[np.float64]:
    """Share of its user's events that come after each event [E], in 0..1."""
    lengths = histories.lengths
    after = np.repeat(histories.offsets[1:], lengths) - 1 - np.arange(len(histories.items))
    return np.asarray(after / np.repeat(lengths, lengths))
