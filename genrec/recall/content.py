"""Content-based recall: items that are described like those of the history."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genrec.data.tables import Interactions, ItemTable
from genrec.features.base import ItemFeatures
from genrec.features.fusion import Concat
from genrec.features.metadata import Genres, Year
from genrec.recall.history import check_decay, history_matrix
from genrec.recall.vector_index import VectorIndex
from genrec.recall.vectors import VectorRecaller

_BELOW_ANY_COSINE = -2.0
_YEAR = 0.3
"""Weight of the year beside the genres: with 1, films of one year would be more alike than films of one genre."""


class Content(VectorRecaller):
    """Cosine between an item's features and the profile of a user: the weighted sum of the history's unit features.

    The profile is Rocchio's with positive feedback only (Pazzani and Billsus 2007, "Content-Based Recommendation
    Systems", section 10.6). Items without features come last. Users whose history has no feature at all get the
    most popular items. Features are those given to `fit`; genres and year of the item table where none are.

    The vectors have two columns more than the features, so that an inner product says all of it: one that puts
    items without features below every cosine, and one with the items' counts for users without a profile.

    Args:
        decay: weight of the history, per event of age; below 1 recent items count more.
        index: finds items instead of the exact product.
        batch_size: users scored at once.
    """

    def __init__(
        self, decay: float = 1.0, *, index: VectorIndex | None = None, batch_size: int = 256
    ) -> None:
        super().__init__(index=index, batch_size=batch_size)
        self.decay = check_decay(self, decay)

    def _learn(
        self, train: Interactions, items: ItemTable, features: ItemFeatures | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if features is None or not features.present.any():
            features = Concat([Genres(), Year()], [1.0, _YEAR]).encode(items, train)
        unit, present = unit_rows(features.vectors)
        everyone = np.arange(train.n_users)
        profiles, known = unit_rows(history_matrix(self.histories, everyone, self.decay) @ unit)
        absent = np.where(present, 0.0, _BELOW_ANY_COSINE)
        item_vectors = np.column_stack([unit, absent, train.item_counts()])  # [N, D + 2]
        user_vectors = np.column_stack([profiles, known, ~known])  # [n_users, D + 2]
        return user_vectors.astype(np.float32), item_vectors.astype(np.float32)


def unit_rows(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Rows [n, D] of length 1, zeros where they were zero; and which were not [n]."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)
    return unit, lengths[:, 0] > 0
