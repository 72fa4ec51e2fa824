"""How often an entity met each genre before a time: running counts of many columns in one byte each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genrec.data.tables import ItemTable
from genrec.errors import DataError
from genrec.ranking.ledger import Slice

BLOCK = 255
"""Events per block: a count within a block fits into one byte."""
_BLOCKS_AT_ONCE = 4096


@dataclass(frozen=True)
class ItemGenres:
    """Which genres an item has.

    Attributes:
        names: of the G genres, sorted.
        hot: bool [N, G].
    """

    names: tuple[str, ...]
    hot: NDArray[np.bool_]

    @classmethod
    def of(cls, items: ItemTable) -> ItemGenres:
        """From the column `genres` of the item table.

        Raises:
            DataError: there is no such column.
        """
        if "genres" not in items.frame:
            raise DataError(
                f"statistic.user_genres needs a column genres of the item table (columns are "
                f"{list(items.frame.columns)}); add it, or remove the feature from Schema.features"
            )
        pairs = items.frame["genres"].reset_index(drop=True).explode().dropna()
        names, columns = np.unique(pairs.to_numpy(dtype=object).astype(str), return_inverse=True)
        hot = np.zeros((len(items), len(names)), dtype=bool)
        hot[pairs.index.to_numpy(), columns] = True
        return cls(tuple(names.tolist()), hot)


class RunningGenres:
    """Counts of genres over slices of a ledger.

    A total of every genre after every event would take four bytes each; here a total is kept for every block
    of 255 events, and one byte per event and genre for what came since the block's begin.

    Args:
        genres: of the items.
        items: int32 [E], of the events in the ledger's order.
    """

    def __init__(self, genres: ItemGenres, items: NDArray[np.int32]) -> None:
        n_blocks = len(items) // BLOCK + 1
        width = len(genres.names)
        of_item = np.concatenate(
            [genres.hot, np.zeros((1, width), dtype=bool)]
        )  # and of one that is not known
        self._within = np.zeros((n_blocks, BLOCK, width), dtype=np.uint8)
        totals = np.zeros((n_blocks, width), dtype=np.int64)
        for first in range(0, n_blocks, _BLOCKS_AT_ONCE):  # in parts, for the sake of memory
            within = self._within[first : first + _BLOCKS_AT_ONCE]
            part = items[first * BLOCK : (first + len(within)) * BLOCK]
            flat = np.zeros((len(within) * BLOCK, width), dtype=np.uint8)
            flat[: len(part)] = of_item[np.minimum(part, len(genres.hot))]
            hot = flat.reshape(within.shape)
            np.cumsum(hot[:, :-1], axis=1, dtype=np.uint8, out=within[:, 1:])
            totals[first : first + len(within)] = within[:, -1].astype(np.int64) + hot[:, -1]
        self._before = np.cumsum(totals, axis=0) - totals

    def counts(self, past: Slice) -> NDArray[np.int64]:
        """Events of each genre in each slice: int64 [R, G]."""
        return self._at(past.stop) - self._at(past.start)

    def top(self, past: Slice, k: int) -> NDArray[np.int64]:
        """The k most frequent genres of each slice, -1 where there are fewer: int64 [R, k].

        Every event counts once for each genre of its item, whatever its rating. Of genres that are equally frequent the
        one whose name comes first is taken.
        """
        counts = self.counts(past)
        rows = np.arange(len(counts))
        best = np.full((len(counts), k), -1, dtype=np.int64)
        for place in range(min(k, counts.shape[1])):
            genre = counts.argmax(axis=1)
            best[:, place] = np.where(counts[rows, genre] > 0, genre, -1)
            counts[rows, genre] = 0
        return best

    def _at(self, place: NDArray[np.int64]) -> NDArray[np.int64]:
        """Counts over all events before a place."""
        block, within = place // BLOCK, place % BLOCK
        total: NDArray[np.int64] = self._before[block] + self._within[block, within]
        return total
