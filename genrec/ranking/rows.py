"""Rows: (user, candidate item, time), what ranking learns from and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrec.data.tables import NO_TIMESTAMP, Interactions
from genrec.errors import DataError


@dataclass(frozen=True, slots=True)
class Rows:
    """Candidates to be scored, one per row; labels where they are for learning or judging.

    An index outside the user or item table, -1 by convention, is a user or an item that nobody knows. What is known
    of a row is what happened strictly before its time; `NO_TIMESTAMP` is before everything.

    Attributes:
        users: int32 [R].
        items: int32 [R].
        times: int64 [R] seconds.
        labels: float32 [R], 1 is good and 0 is not, or None.
        weights: float32 [R], of each row in a loss, or None where all weigh the same.
        tasks: further targets by name, float32 [R] each, NaN where unknown.
        groups: int64 [R], equal for rows that compete with each other (a positive and its negatives), or None.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    times: NDArray[np.int64]
    labels: NDArray[np.float32] | None = None
    weights: NDArray[np.float32] | None = None
    tasks: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    groups: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        for name, column in self._columns().items():
            if column is not None and column.shape != self.users.shape:
                raise DataError(
                    f"rows: {name} has shape {column.shape} where users has {self.users.shape}; "
                    "give every column one value per row"
                )

    def __len__(self) -> int:
        return len(self.users)

    @classmethod
    def of(cls, events: Interactions) -> Rows:
        """One row per event, without labels; events without a timestamp get rows without a time."""
        times = events.timestamps
        if times is None:
            times = np.full(len(events), NO_TIMESTAMP, dtype=np.int64)
        return cls(events.users, events.items, times)

    @classmethod
    def pairs(cls, users: NDArray[np.integer], items: NDArray[np.integer], now: int) -> Rows:
        """Every candidate of every user at one time, as at serving: users [U], items [U, k] -> U * k rows.

        Rows of one user follow each other and are one group. An empty place of a list, -1, stays a row: drop it by
        its item, or ignore its score.
        """
        n_users, k = items.shape
        return cls(
            np.repeat(np.asarray(users, dtype=np.int32), k),
            np.ascontiguousarray(items, dtype=np.int32).reshape(-1),
            np.full(n_users * k, now, dtype=np.int64),
            groups=np.repeat(np.arange(n_users), k),
        )

    @classmethod
    def concat(cls, parts: Sequence[Rows]) -> Rows:
        """Rows one after the other; a column that some part lacks is dropped, a task that it lacks is unknown there.

        Groups are renumbered, so that no two parts share one.
        """
        if not parts:
            raise DataError("rows: nothing to join; give at least one part")
        names = dict.fromkeys(name for part in parts for name in part.tasks)
        bases = np.cumsum([0, *(part._n_groups() for part in parts)])
        groups = [
            None if part.groups is None else part.groups + base
            for part, base in zip(parts, bases, strict=False)
        ]
        return cls(
            np.concatenate([part.users for part in parts]),
            np.concatenate([part.items for part in parts]),
            np.concatenate([part.times for part in parts]),
            _joined([part.labels for part in parts]),
            _joined([part.weights for part in parts]),
            {name: np.concatenate([part._task(name) for part in parts]) for name in names},
            _joined(groups),
        )

    def take(self, rows: NDArray[Any] | slice) -> Rows:
        """The rows at `rows` (indices, a boolean mask or a slice), in that order."""

        def pick(column: NDArray[Any] | None) -> NDArray[Any] | None:
            return None if column is None else column[rows]

        return Rows(
            self.users[rows],
            self.items[rows],
            self.times[rows],
            pick(self.labels),
            pick(self.weights),
            {name: target[rows] for name, target in self.tasks.items()},
            pick(self.groups),
        )

    def _columns(self) -> dict[str, NDArray[Any] | None]:
        columns: dict[str, NDArray[Any] | None] = {
            "items": self.items,
            "times": self.times,
            "labels": self.labels,
            "weights": self.weights,
            "groups": self.groups,
        }
        return columns | {f"task {name}": target for name, target in self.tasks.items()}

    def _task(self, name: str) -> NDArray[np.float32]:
        return self.tasks.get(name, np.full(len(self), np.nan, dtype=np.float32))

    def _n_groups(self) -> int:
        return 0 if self.groups is None or not len(self) else int(self.groups.max()) + 1


def _joined(columns: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    known = [column for column in columns if column is not None]
    return np.concatenate(known) if len(known) == len(columns) else None
