"""What had happened to an entity before a time, by binary search and differences of running totals.

Events are sorted by (entity, time) once, as one integer key each. What an entity had strictly before a time is a slice
of them, found by one `np.searchsorted` for all rows; counts and sums over the slice are a difference of two
running totals.

Totals are integers, so that they are exact: with floating-point totals the last digit of a value would depend on events
of other users, and so on the future. Ratings are taken as multiples of 1/1024 (halves and whole stars are such) between
-4096 and 4096. Totals over all events may wrap around; differences are right as long as those of one entity fit
into 63 bits, which half a million events of the largest rating do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from genrec.data.tables import NO_TIMESTAMP, Interactions

Whole = TypeVar("Whole", np.int32, np.int64)

UNIT = 1024
LARGEST_RATING = 4096.0


@dataclass(frozen=True, slots=True)
class Slice:
    """Places in a ledger, start .. stop - 1 for each row: int64 [R] each."""

    start: NDArray[np.int64]
    stop: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Events in the slice [R]."""
        return self.stop - self.start


class Ledger:
    """Events of users, or of items, by (entity, time); those without a timestamp are left out.

    Events at the same time keep the order in which they come, which is that of the tie rule in a split's parts.

    Args:
        entities: int32 [E], in 0 .. n - 1.
        n: number of entities.
        events: the log; in any order.

    Attributes:
        rows: int32 (or 64) [places], the row of the log at each place.
    """

    def __init__(self, entities: NDArray[np.int32], n: int, events: Interactions) -> None:
        self.n = n
        rows, times = timed_rows(events)
        self._clock = _Clock(times, n)
        keys = self._clock.keys(entities[rows].astype(np.int64), times)
        order = np.argsort(keys, kind="stable")
        self._keys = keys[order]
        self.rows = rows[order].astype(np.int32 if len(events) < 2**31 else np.int64)
        counts = np.bincount(entities[rows], minlength=n)
        self._offsets = np.concatenate([[0], np.cumsum(counts)])
        self._events = events

    def before(self, entities: NDArray[np.integer], times: NDArray[np.int64]) -> Slice:
        """What each entity [R] had strictly before a time [R]; nothing for an entity that is not known."""
        known = (entities >= 0) & (entities < self.n)
        entity = np.where(known, entities, 0).astype(np.int64)
        start = self._offsets[entity]
        stop = np.searchsorted(self._keys, self._clock.keys(entity, times))
        return Slice(start, np.where(known, stop, start))

    def last_time(self, past: Slice) -> NDArray[np.int64]:
        """Time of the last event of each slice [R]; `NO_TIMESTAMP` where there is none."""
        return self._time_at(past.stop - 1, past.lengths > 0)

    def next_time(self, entities: NDArray[np.integer], times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Time of each entity's first event at or after a time [R]; `NO_TIMESTAMP` where there is none."""
        past = self.before(entities, times)
        known = (entities >= 0) & (entities < self.n)
        end = self._offsets[np.where(known, entities, 0) + 1]
        return self._time_at(past.stop, known & (past.stop < end))

    @property
    def times(self) -> NDArray[np.int64]:
        """Times of all places, int64 [places]."""
        return self._clock.times(self._keys)

    @property
    def entities(self) -> NDArray[np.int64]:
        """Entities of all places, int64 [places], ascending."""
        return np.repeat(np.arange(self.n), np.diff(self._offsets))

    def rated(self, past: Slice) -> NDArray[np.int64]:
        """Events with a rating in each slice [R]."""
        return _difference(self._n_rated, past)

    def mean(self, past: Slice) -> NDArray[np.float64]:
        """Mean rating of each slice [R]; NaN where nothing in it is rated."""
        return _ratio(_difference(self._sums, past) / UNIT, self.rated(past))

    def variance(self, past: Slice) -> NDArray[np.float64]:
        """Variance of the ratings of each slice [R], 0 for a single one; NaN where nothing in it is rated."""
        n, total = self.rated(past), _difference(self._sums, past)
        squares = _difference(self._squares, past) / UNIT**2
        return np.maximum(_ratio(squares, n) - _ratio(total / UNIT, n) ** 2, 0.0)

    @cached_property
    def _n_rated(self) -> NDArray[np.int32] | None:
        ratings = self._ratings()
        return None if ratings is None else _running(np.isfinite(ratings).astype(np.int32))

    @cached_property
    def _sums(self) -> NDArray[np.int64] | None:
        ratings = self._ratings()
        return None if ratings is None else _running(_units(ratings))

    @cached_property
    def _squares(self) -> NDArray[np.int64] | None:
        ratings = self._ratings()
        return None if ratings is None else _running(_units(ratings) ** 2)

    def _ratings(self) -> NDArray[np.float32] | None:
        return None if self._events.ratings is None else self._events.ratings[self.rows]

    def _time_at(self, place: NDArray[np.int64], found: NDArray[np.bool_]) -> NDArray[np.int64]:
        if not len(self._keys):
            return np.full(len(place), NO_TIMESTAMP, dtype=np.int64)
        keys = self._keys[np.clip(place, 0, len(self._keys) - 1)]
        return np.where(found, self._clock.times(keys), NO_TIMESTAMP)


class _Clock:
    """One integer for (entity, time), in the order of the pairs.

    A time is counted from the first one of the log; where such numbers would not fit (microseconds over years, times
    a million users), it is numbered among the log's distinct times instead.
    """

    def __init__(self, times: NDArray[np.int64], n: int) -> None:
        self._low, self._high = (int(times.min()), int(times.max())) if len(times) else (0, 0)
        self._distinct: NDArray[np.int64] | None = None
        if n * (self._high - self._low + 2) >= 2**63:
            self._distinct = np.unique(times)
            self._low, self._high = 0, len(self._distinct) - 1
        self._span = self._high - self._low + 2

    def keys(self, entities: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Keys [R]; times before the log count as its first one, times after it as one more than its last."""
        if self._distinct is not None:
            times = np.searchsorted(self._distinct, times)
        return entities * self._span + (np.clip(times, self._low, self._high + 1) - self._low)

    def times(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """The times of keys of the log [R]."""
        ticks = keys % self._span
        return ticks + self._low if self._distinct is None else self._distinct[ticks]


def timed_rows(events: Interactions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the events that have a timestamp, and their times."""
    if events.timestamps is None:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    rows = np.flatnonzero(events.timestamps != NO_TIMESTAMP)
    return rows, events.timestamps[rows]


def _units(ratings: NDArray[np.float32]) -> NDArray[np.int64]:
    """Ratings as whole multiples of 1 / UNIT; 0 where there is none."""
    known = np.where(np.isfinite(ratings), ratings, 0.0).astype(np.float64)
    return np.rint(np.clip(known, -LARGEST_RATING, LARGEST_RATING) * UNIT).astype(np.int64)


def _running(values: NDArray[Whole]) -> NDArray[Whole]:
    """Totals of the first 0, 1, ... E values [E + 1]."""
    totals = np.zeros(len(values) + 1, dtype=values.dtype)
    np.cumsum(values, out=totals[1:])
    return totals


def _difference(totals: NDArray[np.int32] | NDArray[np.int64] | None, past: Slice) -> NDArray[np.int64]:
    if totals is None:
        return np.zeros(len(past.start), dtype=np.int64)
    return (totals[past.stop] - totals[past.start]).astype(np.int64)


def _ratio(total: NDArray[np.float64], n: NDArray[np.int64]) -> NDArray[np.float64]:
    ratio = np.full(len(n), np.nan)
    np.divide(total, n, out=ratio, where=n > 0)
    return ratio
