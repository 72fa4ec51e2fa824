"""Point-in-time statistics: what was known strictly before a row's time, for all rows in one pass.

The same object serves training, where every row has its own time, and serving, where the time is now:
`statistics(users, items, times)`. Nothing at or after a row's time is read, so that a value computed from the whole log
is the value that a log ending just before the row would have given.

    user_count, item_count        events so far
    user_rated, item_rated        of which have a rating
    user_mean, item_mean          mean rating so far
    user_variance, item_variance  its variance (of the population; 0 after a single rating)
    user_recency, item_recency    seconds since the last event
    user_genres                   the three most frequent genres so far, by count of events
    hour, weekday                 of the row's time, in UTC; Monday is 0

What cannot be known is NaN (-1 for genres): means without ratings, recency without an event, everything for a row
without a time. Events without a timestamp cannot be shown to be past, and are left out.

Memory, beside the log itself: 12 bytes per event for each of the two ledgers, 12 more for each whose mean is asked for
and 8 for its variance, 4 for histories, one per genre for `user_genres`: with all of them and 18 genres 86 bytes
per event, which is 86 MB for a million events and 2.8 GB for 32 million (building takes about 24 bytes per event more,
for a while). What no feature asks for is not built. Rows cost what is asked for: 8 bytes per statistic, 4 per place of
the history.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from genrec.data.tables import NO_TIMESTAMP, Interactions
from genrec.errors import DataError
from genrec.ranking.genres import ItemGenres, RunningGenres
from genrec.ranking.ledger import Ledger, Slice
from genrec.ranking.values import Labels

TOP_GENRES = 3


class Statistics:
    """A log of events, to be asked what was known at a time.

    Args:
        events: the log, in any order; equal times of a user keep their order in the history.
        genres: of the items; needed for `user_genres`.
    """

    def __init__(self, events: Interactions, genres: ItemGenres | None = None) -> None:
        self.events = events
        self.genres = genres
        self._items = np.zeros(0, dtype=np.int32)

    def __call__(
        self,
        users: NDArray[np.integer],
        items: NDArray[np.integer],
        times: NDArray[np.int64],
        names: Collection[str] | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Values of rows (user, item, time) by name.

        Numbers are float64 [R], NaN where unknown; hour and weekday int64 [R] and genres int64 [R, 3], numbered as in
        `genres.names`, -1 where unknown.

        Args:
            users: [R]; one outside the log is unknown and has no past.
            items: [R], likewise.
            times: int64 [R] seconds, `NO_TIMESTAMP` where a row has none.
            names: some of `STATISTICS`; all that the log can answer if not given.
        """
        moment = self.at(users, items, times)
        if names is None:
            names = [name for name in STATISTICS if name != "user_genres" or self.genres is not None]
        return {
            name: NUMBERS[name](moment) if name in NUMBERS else LABELS[name](moment).codes for name in names
        }

    def at(self, users: NDArray[np.integer], items: NDArray[np.integer], times: NDArray[np.int64]) -> Moment:
        """The rows, to be asked for one value after the other."""
        return Moment(self, users, items, times)

    @cached_property
    def by_user(self) -> Ledger:
        """The log by user and time."""
        return Ledger(self.events.users, self.events.n_users, self.events)

    @cached_property
    def by_item(self) -> Ledger:
        """The log by item and time."""
        return Ledger(self.events.items, self.events.n_items, self.events)

    def items_by_user(self, length: int) -> NDArray[np.int32]:
        """The items of `by_user`, in its order, and at least `length` times -1."""
        if len(self._items) < len(self.by_user.rows) + length:
            end = np.full(length, -1, dtype=np.int32)
            self._items = np.concatenate([self.events.items[self.by_user.rows], end])
        return self._items

    @cached_property
    def genres_by_user(self) -> RunningGenres:
        """Running counts of genres over `by_user`."""
        return RunningGenres(self._known_genres(), self.events.items[self.by_user.rows])

    @property
    def genre_names(self) -> tuple[str, ...]:
        """What genres are numbered by."""
        return self._known_genres().names

    def _known_genres(self) -> ItemGenres:
        if self.genres is None:
            raise DataError("statistic.user_genres needs the genres of items; give Statistics.genres")
        return self.genres


class Past(NamedTuple):
    """What one side of the rows, the users or the items, had before the rows' times."""

    ledger: Ledger
    slice: Slice


class Moment:
    """Rows at their times; what several statistics need is looked up once."""

    def __init__(
        self,
        log: Statistics,
        users: NDArray[np.integer],
        items: NDArray[np.integer],
        times: NDArray[np.int64],
    ) -> None:
        self.log, self.users, self.items, self.times = log, users, items, times
        self.timed = times != NO_TIMESTAMP

    @cached_property
    def user(self) -> Past:
        """The past of each row's user."""
        ledger = self.log.by_user
        return Past(ledger, ledger.before(self.users, self.times))

    @cached_property
    def item(self) -> Past:
        """The past of each row's item."""
        ledger = self.log.by_item
        return Past(ledger, ledger.before(self.items, self.times))

    def history(self, length: int) -> NDArray[np.int32]:
        """The user's last items before the time, oldest first, -1 after the last: int32 [R, length]."""
        past = self.user.slice
        first = np.maximum(past.start, past.stop - length)
        windows = sliding_window_view(self.log.items_by_user(length), length)
        items = windows[first]  # whole windows: much faster than place by place
        items[np.arange(length) >= (past.stop - first)[:, None]] = -1
        return items


def _count(past: Past, times: NDArray[np.int64]) -> NDArray[np.float64]:
    return past.slice.lengths.astype(np.float64)


def _rated(past: Past, times: NDArray[np.int64]) -> NDArray[np.float64]:
    return past.ledger.rated(past.slice).astype(np.float64)


def _mean(past: Past, times: NDArray[np.int64]) -> NDArray[np.float64]:
    return past.ledger.mean(past.slice)


def _variance(past: Past, times: NDArray[np.int64]) -> NDArray[np.float64]:
    return past.ledger.variance(past.slice)


def _recency(past: Past, times: NDArray[np.int64]) -> NDArray[np.float64]:
    last = past.ledger.last_time(past.slice)
    found = last != NO_TIMESTAMP
    return np.where(found, times - np.where(found, last, times), np.nan)


_OF_A_PAST: Mapping[str, Callable[[Past, NDArray[np.int64]], NDArray[np.float64]]] = {
    "count": _count,
    "rated": _rated,
    "mean": _mean,
    "variance": _variance,
    "recency": _recency,
}


def _of_user(value: Callable[[Past, NDArray[np.int64]], NDArray[np.float64]]) -> Number:
    return lambda moment: np.where(moment.timed, value(moment.user, moment.times), np.nan)


def _of_item(value: Callable[[Past, NDArray[np.int64]], NDArray[np.float64]]) -> Number:
    return lambda moment: np.where(moment.timed, value(moment.item, moment.times), np.nan)


def _user_genres(moment: Moment) -> Labels:
    return Labels(moment.log.genre_names, moment.log.genres_by_user.top(moment.user.slice, TOP_GENRES))


def _hour(moment: Moment) -> Labels:
    return Labels(tuple(range(24)), np.where(moment.timed, moment.times // 3600 % 24, -1))


def _weekday(moment: Moment) -> Labels:
    day = (moment.times // 86400 + 3) % 7  # 1970 began on a Thursday
    return Labels(tuple(range(7)), np.where(moment.timed, day, -1))


Number = Callable[[Moment], NDArray[np.float64]]

NUMBERS: Mapping[str, Number] = {
    **{f"user_{name}": _of_user(value) for name, value in _OF_A_PAST.items()},
    **{f"item_{name}": _of_item(value) for name, value in _OF_A_PAST.items()},
}
LABELS: Mapping[str, Callable[[Moment], Labels]] = {
    "user_genres": _user_genres,
    "hour": _hour,
    "weekday": _weekday,
}
STATISTICS = (*NUMBERS, *LABELS)
"""Names of all statistics."""
