"""Negatives: items that are shown beside a good one, at the same time, and count as not good.

Low ratings are negatives by themselves: the label rule gives them 0. What is sampled here are items that the user did
not choose: from the catalogue, or from what recall would have shown (`Candidates`; `genrec.candidates` makes the lists,
too), which is what a ranker meets when it serves. No negative is the row's own item, nor one that the user had at or
before the row's time (at any time, for a row without one); an item that the user takes later may be one, since nobody
knows that yet. The negatives of one row are distinct.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from genrec.data.recommendations import Recommendations
from genrec.data.tables import NO_TIMESTAMP, Interactions, ItemTable
from genrec.errors import ConfigError, DataError
from genrec.ranking.ledger import timed_rows
from genrec.ranking.rows import Rows

_DRAWS = 3
"""Candidates drawn per negative wanted: some are items of the history, or drawn twice."""

_BLOCK = 65_536
"""Rows that are drawn for at once: with 200 candidates each they take some hundred MB."""


class Seen:
    """When a user first had an item, to ask whether that was by a certain time.

    Args:
        events: the log; events without a timestamp count as early ones, so that they are never negatives.
    """

    def __init__(self, events: Interactions) -> None:
        self.n_users, self.n_items = events.n_users, events.n_items
        keys = events.users.astype(np.int64) * events.n_items + events.items
        times = np.full(len(events), np.iinfo(np.int64).min)
        rows, known = timed_rows(events)
        times[rows] = known
        order = np.lexsort((times, keys))
        self._keys, first = np.unique(keys[order], return_index=True)
        self._times = times[order][first]

    def by(
        self, users: NDArray[np.integer], items: NDArray[np.integer], times: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Whether each user had each item at or before a time; arrays of one shape, or that broadcast to one."""
        inside = (users >= 0) & (users < self.n_users) & (items >= 0) & (items < self.n_items)
        keys = users.astype(np.int64) * self.n_items + items
        if not len(self._keys):
            return np.zeros(keys.shape, dtype=bool)
        place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        had: NDArray[np.bool_] = inside & (self._keys[place] == keys) & (self._times[place] <= times)
        return had


class Negatives(ABC):
    """A way to put negatives beside good rows.

    Args:
        per_positive: negatives of each good row; fewer where there are not so many.
        seed: of the draw.
    """

    def __init__(self, per_positive: int = 4, seed: int = 0) -> None:
        if per_positive < 1:
            raise ConfigError(f"{type(self).__name__}.per_positive must be at least 1, got {per_positive}")
        self.per_positive, self.seed = per_positive, seed

    def knowing(self, items: ItemTable, features: Any) -> Self:
        """The same for a catalogue, which a way that learns something reads; this one does not.

        Args:
            items: the catalogue.
            features: of the items, `genrec.features.base.ItemFeatures` or None.
        """
        return self

    @abstractmethod
    def __call__(self, rows: Rows, log: Interactions) -> Rows:
        """The rows with negatives of the good ones after them; a good row and its negatives are one group.

        Rows that are not good stay, each with the group of its own. Negatives have label 0, task `like` 0, other tasks
        unknown, and the weight of their good row.

        Args:
            rows: with labels.
            log: what users had; nothing that is held out.

        Raises:
            DataError: the rows have no labels.
        """


class Drawn(Negatives):
    """Negatives drawn from items that are proposed for each row.

    Args:
        per_positive: negatives of each good row; fewer where a user had nearly everything that was drawn.
        seed: of the draw.
    """

    @abstractmethod
    def proposals(self, rows: Rows, seen: Seen, n: int, rng: np.random.Generator) -> NDArray[np.integer]:
        """n or fewer items for each row: int [R, n], -1 for none, best first where there is an order."""

    def __call__(self, rows: Rows, log: Interactions) -> Rows:
        """The rows with negatives, as `Negatives` says."""
        labels = labels_of(rows)
        numbered = replace(rows, groups=np.arange(len(rows)))
        good = numbered.take(labels > 0)
        seen, rng = Seen(log), np.random.default_rng(self.seed)
        blocks = [
            self.choose(good.take(slice(start, start + _BLOCK)), seen, rng)
            for start in range(0, max(len(good), 1), _BLOCK)
        ]
        chosen = np.concatenate(blocks)
        row, place = np.nonzero(chosen >= 0)
        base = good.take(row)
        zeros = np.zeros(len(base), dtype=np.float32)
        unknown = np.full(len(base), np.nan, dtype=np.float32)
        tasks = {name: zeros if name == "like" else unknown for name in rows.tasks}
        items = chosen[row, place].astype(np.int32)
        drawn = Rows(base.users, items, base.times, zeros, base.weights, tasks, base.groups)
        return _together(numbered, drawn)

    def choose(self, rows: Rows, seen: Seen, rng: np.random.Generator) -> NDArray[np.int64]:
        """Negatives of each row, -1 after the last: int64 [R, per_positive]."""
        items = self.proposals(rows, seen, _DRAWS * self.per_positive + 2, rng).astype(np.int64)
        users = rows.users[:, None]
        times = np.where(rows.times == NO_TIMESTAMP, np.iinfo(np.int64).max, rows.times)[:, None]
        good = (
            (items >= 0) & (items != rows.items[:, None]) & ~seen.by(users, items, times) & ~_repeated(items)
        )
        order = np.argsort(~good, axis=1, kind="stable")[:, : self.per_positive]  # the first good ones
        chosen = np.where(
            np.take_along_axis(good, order, axis=1), np.take_along_axis(items, order, axis=1), -1
        )
        width = self.per_positive - chosen.shape[1]
        return np.pad(chosen, ((0, 0), (0, max(width, 0))), constant_values=-1)


class Uniform(Drawn):
    """Every item of the catalogue is equally likely."""

    def proposals(self, rows: Rows, seen: Seen, n: int, rng: np.random.Generator) -> NDArray[np.integer]:
        """Random items."""
        return rng.integers(0, seen.n_items, size=(len(rows), n))


class Candidates(Drawn):
    """What recall shows the user: `per_positive` of the list's best `depth` items, at random.

    Args:
        lists: a recaller's lists, fitted on nothing later than the rows; or their items [n_users, k], a row for each
            user of the log, -1 after the last item.
        per_positive: negatives of each good row; fewer where a list is short. Users without a list get none.
        depth: items of each list that are considered; all if not given.
        seed: of the draw.
    """

    def __init__(
        self,
        lists: Recommendations | NDArray[Any],
        per_positive: int = 4,
        *,
        depth: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(per_positive, seed)
        if depth is not None and depth < 1:
            raise ConfigError(f"Candidates.depth must be at least 1, got {depth}")
        items = lists.items if isinstance(lists, Recommendations) else np.asarray(lists)
        if items.ndim != 2:
            raise ConfigError(f"Candidates.lists must have a row for each user, got shape {items.shape}")
        self._items = np.concatenate([items[:, :depth], np.full((1, items[:, :depth].shape[1]), -1)])
        self._users = lists.users if isinstance(lists, Recommendations) else np.arange(len(items))

    def proposals(self, rows: Rows, seen: Seen, n: int, rng: np.random.Generator) -> NDArray[np.integer]:
        """The whole list, shuffled: items of the history are dropped afterwards, so that none is asked for twice."""
        row_of = np.full(max(seen.n_users, int(self._users.max(initial=-1)) + 1), len(self._items) - 1)
        row_of[self._users] = np.arange(len(self._users))
        inside = (rows.users >= 0) & (rows.users < len(row_of))
        lists = self._items[np.where(inside, row_of[np.where(inside, rows.users, 0)], len(self._items) - 1)]
        return rng.permuted(lists, axis=1)


class Mixed(Drawn):
    """Several ways at once, each with its own number of negatives; an item that two of them draw counts once.

    Args:
        parts: for instance [@negatives.Uniform(), ...]; their seeds are not used.
        seed: of the draw.
    """

    def __init__(self, parts: Sequence[Drawn], seed: int = 0) -> None:
        if not parts:
            raise ConfigError("Mixed.parts is empty; give at least one way to draw negatives")
        super().__init__(sum(part.per_positive for part in parts), seed)
        self.parts = tuple(parts)

    def proposals(self, rows: Rows, seen: Seen, n: int, rng: np.random.Generator) -> NDArray[np.integer]:
        """What the parts choose, side by side."""
        return np.concatenate([part.choose(rows, seen, rng) for part in self.parts], axis=1)


def labels_of(rows: Rows) -> NDArray[np.float32]:
    """Which rows are good [R].

    Raises:
        DataError: the rows have no labels.
    """
    if rows.labels is None:
        raise DataError("negatives are drawn for good rows, and these rows have no labels; use LabelRule")
    return rows.labels


def _repeated(items: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether an item stands further left in its row."""
    order = np.argsort(items, axis=1, kind="stable")
    ordered = np.take_along_axis(items, order, axis=1)
    twice = np.zeros(items.shape, dtype=bool)
    twice[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    repeated = np.empty_like(twice)
    np.put_along_axis(repeated, order, twice, axis=1)
    return repeated


def _together(rows: Rows, drawn: Rows) -> Rows:
    """Both, a good row followed by its negatives."""
    assert rows.groups is not None
    assert drawn.groups is not None
    groups = np.concatenate([rows.groups, drawn.groups])
    both = Rows.concat([replace(rows, groups=None), replace(drawn, groups=None)])
    return replace(both, groups=groups).take(np.argsort(groups, kind="stable"))
