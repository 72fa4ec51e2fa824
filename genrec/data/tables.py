"""The canonical in-memory tables: interactions by dense index, items, users.

Raw ids (`user_id`, `item_id`) live in the tables; everything numeric uses dense indices: `user` is a row of
the user table, `item` a row of the item table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.errors import DataError

NO_TIMESTAMP = np.iinfo(np.int64).min
"""Marks a single missing timestamp; a dataset without any has `timestamps=None`."""


@dataclass(frozen=True, slots=True)
class Interactions:
    """Events, one per row, by dense index.

    Attributes:
        users: int32 [E], in `0..n_users-1`.
        items: int32 [E], in `0..n_items-1`.
        n_users: users of the whole dataset (not only those that occur here).
        n_items: items of the whole catalogue.
        ratings: float32 [E], NaN where unknown, or None.
        timestamps: int64 [E] seconds, `NO_TIMESTAMP` where unknown, or None.
        positions: int64 [E], the source's own order in time, or None.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    n_users: int
    n_items: int
    ratings: NDArray[np.float32] | None = None
    timestamps: NDArray[np.int64] | None = None
    positions: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        for name in ("items", "ratings", "timestamps", "positions"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self.users):
                raise DataError(
                    f"interactions: column {name} has {len(column)} rows where users has {len(self.users)}"
                )

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: NDArray[Any] | slice) -> Interactions:
        """The events at `rows` (indices, a boolean mask or a slice), in that order."""

        def pick(column: NDArray[Any] | None) -> NDArray[Any] | None:
            return None if column is None else column[rows]

        return Interactions(
            users=self.users[rows],
            items=self.items[rows],
            n_users=self.n_users,
            n_items=self.n_items,
            ratings=pick(self.ratings),
            timestamps=pick(self.timestamps),
            positions=pick(self.positions),
        )

    def matrix(self) -> sp.csr_array:
        """Binary user-item matrix [n_users, n_items], float32; repeated events count once."""
        ones = np.ones(len(self), dtype=np.float32)
        matrix = sp.csr_array((ones, (self.users, self.items)), shape=(self.n_users, self.n_items))
        matrix.sum_duplicates()
        matrix.data[:] = 1.0
        return matrix

    def item_counts(self) -> NDArray[np.int64]:
        """Events per item [n_items]."""
        return np.bincount(self.items, minlength=self.n_items)


class _IdTable:
    """A frame whose row number is the dense index and whose id column is unique."""

    id_column: str
    frame: pd.DataFrame

    def __post_init__(self) -> None:
        if self.id_column not in self.frame:
            raise DataError(f"{self.id_column} column is missing; columns are {list(self.frame.columns)}")
        ids = self.frame[self.id_column]
        if ids.duplicated().any():
            first = ids[ids.duplicated()].tolist()[0]
            raise DataError(f"{self.id_column} {first!r} occurs more than once; ids must be unique")

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def ids(self) -> NDArray[Any]:
        """Raw ids [N], by dense index."""
        return self.frame[self.id_column].to_numpy()

    def index_of(self, raw_id: Any) -> int | None:
        """Dense index of a raw id, or None; `"42"` finds the integer id 42."""
        match = np.flatnonzero(self.frame[self.id_column].astype(str).to_numpy() == str(raw_id))
        return int(match[0]) if len(match) else None


@dataclass(frozen=True)
class ItemTable(_IdTable):
    """The catalogue, cold items included.

    Columns: `item_id` (int64 or str), `title` (str), `year` (Int64, nullable), `genres` (list of str), `text`
    (str, may be empty), `imdb_id`, `tmdb_id`, `image_path` (str, nullable).
    """

    frame: pd.DataFrame
    id_column = "item_id"


@dataclass(frozen=True)
class UserTable(_IdTable):
    """Users that have interactions; columns beyond `user_id` are optional (gender, age, ...)."""

    frame: pd.DataFrame
    id_column = "user_id"


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset: what every stage starts from.

    Attributes:
        content_hash: sha256 of the interactions and the item ids; two copies of one release agree whatever
            mirror they came from.
    """

    name: str
    interactions: Interactions
    items: ItemTable
    users: UserTable
    content_hash: str
