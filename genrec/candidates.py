"""Negatives from recall: what a recaller would have shown to users, beside what they took then.

A ranker in a pipeline meets nothing but candidates of recall. `RecallNegatives` makes rows that look like that: the
recaller is fitted to all but each user's last events, and what it proposes stands beside those. It has seen none of
the events whose candidates it gives, as at serving.
"""

from __future__ import annotations

from copy import copy
from typing import Self

import numpy as np
from numpy.typing import NDArray

from genrec.data.recommendations import Recommendations
from genrec.data.tables import NO_TIMESTAMP, Interactions, ItemTable
from genrec.errors import ConfigError, DataError
from genrec.features.base import ItemFeatures
from genrec.ranking.negatives import Candidates, Negatives, labels_of
from genrec.ranking.rows import Rows
from genrec.recall.base import Recaller
from genrec.recall.fusion import check_untrained


class RecallNegatives(Negatives):
    """Candidates of a recaller, beside the last rows of each user.

    The recaller is fitted to the events before those rows, and its lists follow these events.

    Args:
        recaller: not trained yet, for instance @ease.Ease(); take the one that the pipeline has.
        per_positive: candidates beside each good row.
        depth: items of each list that are considered.
        last: rows of each user that get candidates; no more than half as many as the user has events in the log, so
            that something is left to recommend from.
        listed: leave out good rows that the lists do not hold. A ranker cannot help those; and beside candidates they
            would teach that an item is wrong because recall proposes it.
        earlier: for the rows before the last ones, for instance @negatives.Uniform(); they are left out without it.
        seed: of the draw.

    Raises:
        ConfigError: a value is out of range, or the recaller was trained before: it has seen these events.
    """

    def __init__(
        self,
        recaller: Recaller,
        per_positive: int = 8,
        *,
        depth: int = 200,
        last: int = 20,
        listed: bool = True,
        earlier: Negatives | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(per_positive, seed)
        for name, value in (("depth", depth), ("last", last)):
            if value < 1:
                raise ConfigError(f"RecallNegatives.{name} must be at least 1, got {value}")
        try:
            check_untrained({"recaller": recaller})
        except ConfigError as error:
            raise ConfigError(
                "RecallNegatives.recaller was trained before, so that it knows the events whose candidates it would "
                "give; bind one that is fitted here, such as @ease.Ease()"
            ) from error
        self.recaller, self.depth, self.last = recaller, depth, last
        self.listed, self.earlier = listed, earlier
        self.content: tuple[ItemTable, ItemFeatures | None] | None = None

    def knowing(self, items: ItemTable, features: ItemFeatures | None) -> Self:
        """The same, with what the recaller may read of the items."""
        found = copy(self)
        found.content = items, features
        found.earlier = None if self.earlier is None else self.earlier.knowing(items, features)
        return found

    def __call__(self, rows: Rows, log: Interactions) -> Rows:
        """The last rows with candidates beside the good ones, then those that are earlier, if they stay.

        The recaller is another one afterwards.

        Raises:
            DataError: the rows have no labels or no times, or recall proposes none of the good ones.
        """
        if self.content is None:
            raise DataError(
                "RecallNegatives fits a recaller to items that it does not know; call `knowing` first"
            )
        labels = labels_of(rows)
        cut = cuts(rows, log, self.last)
        later = ~earlier_than(cut, rows.users, rows.times)
        known = log.take(earlier_than(cut, log.users, log.timestamps))
        lists = self.recaller.fit(known, *self.content).recommend(np.unique(rows.users[later]), self.depth)
        kept = later & ((labels <= 0) | held(lists, rows)) if self.listed else later
        if not (kept & (labels > 0)).any():
            raise DataError(
                "recall proposes nothing that users took next; raise RecallNegatives.depth, or give the events times"
            )
        made = [Candidates(lists, self.per_positive, seed=self.seed)(rows.take(kept), log)]
        if self.earlier is not None:
            made.append(self.earlier(rows.take(~later), log))
        return Rows.concat(made)


def cuts(rows: Rows, log: Interactions, last: int) -> NDArray[np.int64]:
    """Time of the first of each user's last rows, int64 [n_users]: `last` of them, or half as many as it has events.

    Users without a row that has a time get the end of all times. Rows at the time of the cut are among the last.
    """
    found = np.full(log.n_users, np.iinfo(np.int64).max)
    timed = np.flatnonzero((rows.users >= 0) & (rows.users < log.n_users) & (rows.times != NO_TIMESTAMP))
    order = timed[np.lexsort((rows.times[timed], rows.users[timed]))]
    users, times = rows.users[order], rows.times[order]
    counts = np.bincount(users, minlength=log.n_users)
    wanted = np.clip(np.bincount(log.users, minlength=log.n_users) // 2, 1, last)
    first = np.cumsum(counts) - np.minimum(counts, wanted)
    there = counts > 0
    found[there] = times[first[there]]
    return found


def earlier_than(
    cut: NDArray[np.int64], users: NDArray[np.int32], times: NDArray[np.int64] | None
) -> NDArray[np.bool_]:
    """Which events or rows [R] are before their user's cut; those without a time are, and those of unknown users."""
    if times is None:
        return np.ones(len(users), dtype=np.bool_)
    known = (users >= 0) & (users < len(cut))
    early: NDArray[np.bool_] = ~known | (times < cut[np.where(known, users, 0)])
    return early


def held(lists: Recommendations, rows: Rows) -> NDArray[np.bool_]:
    """Whether the list of each row's user holds its item [R]."""
    n = int(max(lists.items.max(initial=0), rows.items.max(initial=0))) + 1
    row, place = np.nonzero(lists.items >= 0)
    listed = lists.users[row].astype(np.int64) * n + lists.items[row, place]
    return (rows.items >= 0) & np.isin(rows.users.astype(np.int64) * n + rows.items, listed)
