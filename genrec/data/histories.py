"""Histories: each user's items in time order, as CSR arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genrec.data.tables import Interactions


@dataclass(frozen=True, slots=True)
class Histories:
    """CSR view of interactions sorted by (user, time); may be memory-mapped.

    Attributes:
        offsets: int64 [n_users + 1].
        items: int32 [E]; user u's items are `items[offsets[u]:offsets[u + 1]]`, oldest first.
        n_items: size of the catalogue.
        timestamps: int64 [E] or None.
    """

    offsets: NDArray[np.int64]
    items: NDArray[np.int32]
    n_items: int
    timestamps: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, events: Interactions) -> Histories:
        """From events that are already sorted by user, then time (as every split's parts are)."""
        counts = np.bincount(events.users, minlength=events.n_users)
        offsets = np.zeros(events.n_users + 1, dtype=np.int64)
        np.cumsum(counts, out=offsets[1:])
        if len(events) and np.any(np.diff(events.users) < 0):
            raise ValueError("events must be sorted by user")
        return cls(offsets, events.items, events.n_items, events.timestamps)

    @property
    def n_users(self) -> int:
        """Number of users, those without events included."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Events per user [n_users]."""
        return np.diff(self.offsets)

    def __getitem__(self, user: int) -> NDArray[np.int32]:
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def padded(self, users: NDArray[np.integer], length: int, pad: int = -1) -> NDArray[np.int32]:
        """The last `length` items of each user, left-aligned: int32 [users, length], `pad` at the end."""
        stops = self.offsets[users + 1]
        starts = np.maximum(self.offsets[users], stops - length)
        columns = starts[:, None] + np.arange(length)
        valid = columns < stops[:, None]
        if not len(self.items):
            return np.full((len(users), length), pad, dtype=np.int32)
        return np.where(valid, self.items[np.minimum(columns, len(self.items) - 1)], pad).astype(np.int32)

    def rows(self, users: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """All events of `users`, flat: (row of `users` int64 [M], item int32 [M])."""
        lengths = self.lengths[users]
        row = np.repeat(np.arange(len(users)), lengths)
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return row, np.asarray(self.items[self.offsets[users][row] + within])

    def save(self, folder: Path) -> None:
        """Write `offsets.npy`, `items.npy` and, if present, `timestamps.npy` into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "offsets.npy", self.offsets)
        np.save(folder / "items.npy", self.items)
        if self.timestamps is not None:
            np.save(folder / "timestamps.npy", self.timestamps)

    @classmethod
    def load(cls, folder: Path, n_items: int) -> Histories:
        """Memory-map what `save` wrote."""
        times = folder / "timestamps.npy"
        return cls(
            offsets=np.load(folder / "offsets.npy", mmap_mode="r"),
            items=np.load(folder / "items.npy", mmap_mode="r"),
            n_items=n_items,
            timestamps=np.load(times, mmap_mode="r") if times.exists() else None,
        )
