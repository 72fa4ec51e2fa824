"""Rules of what may be shown: nothing already seen, nothing too old or too new, so much of a genre."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrec.errors import ConfigError
from genrec.rerank.base import Context, Reranked, best_first, gather, usable_candidates

DAY = 86_400  # seconds


class Filter(ABC):
    """Base of rules that look at one candidate at a time: leaves out some, and orders the rest by score."""

    def rerank(
        self, items: NDArray[np.int32], scores: NDArray[np.float32], k: int, context: Context
    ) -> Reranked:
        """The k best of what is allowed; a list in which nothing is allowed is empty, all -1."""
        usable = usable_candidates(items, scores, k, context.catalogue.n_items)
        return best_first(items, scores, usable & self.allowed(items, context), k)

    @abstractmethod
    def allowed(self, items: NDArray[np.int32], context: Context) -> NDArray[np.bool_]:
        """Which candidates stay: bool [U, C], anything where the item is -1."""


class SeenFilter(Filter):
    """Leaves out what is in the user's history."""

    def allowed(self, items: NDArray[np.int32], context: Context) -> NDArray[np.bool_]:
        """Which candidates are not in the history.

        Raises:
            ConfigError: the histories are not known.
        """
        if context.seen is None:
            raise ConfigError("SeenFilter needs the histories of users, and none are given; unbind it")
        row, item = context.seen
        n_items = context.catalogue.n_items
        keys = np.arange(len(items), dtype=np.int64)[:, None] * n_items + items
        return np.isin(keys, row * n_items + item, invert=True)


class AgeFilter(Filter):
    """Leaves out items by their year, or by the days since their first event.

    Days are counted from the time of the request; an item whose first event lies after it has not appeared yet, and
    is younger than any `min_days`.

    Args:
        min_year: oldest year that is shown.
        max_year: newest year that is shown.
        min_days: least days since the first event.
        max_days: most days since the first event.
        keep_unknown: whether items whose year, or first event, is not known are shown.
    """

    def __init__(
        self,
        min_year: int | None = None,
        max_year: int | None = None,
        min_days: float | None = None,
        max_days: float | None = None,
        keep_unknown: bool = True,
    ) -> None:
        if min_year is None and max_year is None and min_days is None and max_days is None:
            raise ConfigError(
                "AgeFilter has no limit; bind AgeFilter.min_year, .max_year, .min_days or .max_days"
            )
        self.min_year, self.max_year = min_year, max_year
        self.min_days, self.max_days = min_days, max_days
        self.years = _limits("year", min_year, max_year)
        self.days = _limits("days", min_days, max_days)
        self.keep_unknown = keep_unknown

    def allowed(self, items: NDArray[np.int32], context: Context) -> NDArray[np.bool_]:
        """Which candidates are within the limits.

        Raises:
            ConfigError: a limit is of years or days, and the catalogue or the request does not know them.
        """
        stays = np.ones(context.catalogue.n_items, dtype=np.bool_)
        if self.years is not None:
            years = context.catalogue.years
            if years is None:
                raise ConfigError("AgeFilter limits years, and this catalogue has none; limit days instead")
            stays &= self._within(years, self.years)
        if self.days is not None:
            first = context.catalogue.first_events
            if first is None or context.now is None:
                raise ConfigError(
                    "AgeFilter limits days since the first event, which need events with times and the time of the "
                    "request; limit years instead"
                )
            stays &= self._within((context.now - first) / DAY, self.days)
        return stays[np.maximum(items, 0)]

    def _within(self, values: NDArray[np.float64], limits: tuple[float, float]) -> NDArray[np.bool_]:
        inside = (values >= limits[0]) & (values <= limits[1])  # NaN is not
        return inside | np.isnan(values) if self.keep_unknown else inside


class GenreQuota:
    """At most or at least so many items of a genre among the first places, as close to the order of scores as may be.

    Greedy, place by place: the best candidate none of whose genres is at its limit; but when the places left are no
    more than the items still owed to `at_least`, the best one that has an owed genre. So an item comes up as late as
    it can. A limit is kept whatever it costs: where too few candidates are allowed, the list ends early. What is
    owed is given as far as there are candidates for it. After the first places all others follow by score. An item
    that has several genres counts for each.

    An item that was brought up takes the score of the best one after it, so that scores never rise along a list.
    Traces `quota/score`, the score before that, and `quota/owed`, whether it was chosen because a genre was owed.

    Args:
        at_most: limit by genre, at least 0.
        at_least: items owed by genre, at least 1 and at most `first`.
        first: places the quota is about; the whole list where it is shorter.
    """

    def __init__(
        self,
        at_most: Mapping[str, int] | None = None,
        at_least: Mapping[str, int] | None = None,
        first: int = 10,
    ) -> None:
        self.at_most, self.at_least, self.first = dict(at_most or {}), dict(at_least or {}), first
        if not self.at_most and not self.at_least:
            raise ConfigError("GenreQuota has no quota; bind GenreQuota.at_most or GenreQuota.at_least")
        if first < 1:
            raise ConfigError(f"GenreQuota.first must be at least 1, got {first}")
        if any(limit < 0 for limit in self.at_most.values()):
            raise ConfigError(f"GenreQuota.at_most must be numbers of at least 0, got {self.at_most}")
        if not all(1 <= owed <= first for owed in self.at_least.values()):
            raise ConfigError(
                f"GenreQuota.at_least must be numbers from 1 to the {first} of GenreQuota.first, got {self.at_least}"
            )
        for genre, owed in self.at_least.items():
            if owed > self.at_most.get(genre, owed):
                raise ConfigError(
                    f"GenreQuota.at_least asks for {owed} of {genre}, and GenreQuota.at_most allows "
                    f"{self.at_most[genre]}; lower the first or raise the second"
                )

    def rerank(
        self, items: NDArray[np.int32], scores: NDArray[np.float32], k: int, context: Context
    ) -> Reranked:
        """The k items of each user.

        Raises:
            ConfigError: the catalogue has no genres, or none of a name.
        """
        names = sorted({*self.at_most, *self.at_least})
        members = context.catalogue.members(names, "GenreQuota")  # [N, G]
        usable = usable_candidates(items, scores, k, context.catalogue.n_items)
        ordered = best_first(items, scores, usable, max(items.shape[1], 1))
        columns, owed = self._choose(ordered.items, members, names, k)  # [U, k] both
        given = gather(ordered.scores, columns)
        found = columns >= 0
        lifted = np.maximum.accumulate(np.where(found, given, -np.inf)[:, ::-1], axis=1)[:, ::-1]
        trace: dict[str, NDArray[Any]] = {"quota/score": given, "quota/owed": owed}
        return Reranked(
            items=gather(ordered.items, columns),
            scores=lifted.astype(np.float32),
            places=gather(ordered.places, columns),
            trace=trace,
        )

    def _choose(
        self, items: NDArray[np.int32], members: NDArray[np.bool_], names: list[str], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Columns of `items` [U, C] (best first) in their new order [U, k], and which were chosen as owed."""
        users, width = items.shape
        rows, first = np.arange(users), min(self.first, k, width)
        left = items >= 0
        has = members[np.maximum(items, 0)] & left[:, :, None]  # [U, C, G]
        limit = np.array([self.at_most.get(name, width) for name in names])  # [G]
        least = np.array([self.at_least.get(name, 0) for name in names])
        counts = np.zeros((users, len(names)), dtype=np.int64)
        columns = np.full((users, k), -1, dtype=np.int64)
        owed = np.zeros((users, k), dtype=np.bool_)
        for place in range(first):
            full = counts >= limit  # [U, G]
            allowed = left & ~(has & full[:, None]).any(axis=2)  # [U, C]
            there = (has & allowed[:, :, None]).sum(axis=1)  # [U, G]
            missing = np.minimum(np.maximum(least - counts, 0), there)
            must = (missing.sum(axis=1) >= first - place) & missing.any(axis=1)  # [U]
            helps = (has & (missing > 0)[:, None]).any(axis=2)
            choice = allowed & (helps | ~must[:, None])
            best = choice.argmax(axis=1)
            found = choice[rows, best]
            columns[found, place] = best[found]
            owed[:, place] = must & found
            counts += has[rows, best] & found[:, None]
            left[rows, best] &= ~found
        left &= (columns[:, first - 1] >= 0)[:, None] if first else False  # a list that ended early is over
        rest = np.argsort(~left, axis=1, kind="stable")[:, : k - first]  # by score, as before
        fits = np.arange(rest.shape[1]) < left.sum(axis=1)[:, None]
        columns[:, first : first + rest.shape[1]] = np.where(fits, rest, -1)
        return columns, owed


def _limits(unit: str, low: float | None, high: float | None) -> tuple[float, float] | None:
    """Both ends, open ones infinite; None where neither is given."""
    if low is None and high is None:
        return None
    ends = (-math.inf if low is None else float(low), math.inf if high is None else float(high))
    if any(map(math.isnan, ends)) or ends[0] > ends[1]:
        raise ConfigError(
            f"AgeFilter.min_{unit} must not be above AgeFilter.max_{unit}, got {low} and {high}"
        )
    return ends
