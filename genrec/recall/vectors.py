"""Recallers whose score is the inner product of a user's vector and an item's."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from genrec.data.recommendations import Recommendations
from genrec.data.tables import Interactions, ItemTable
from genrec.features.base import ItemFeatures
from genrec.recall.base import ScoringRecaller, check_k
from genrec.recall.vector_index import VectorIndex, search_unseen


class VectorRecaller(ScoringRecaller):
    """Base of recallers by vectors: a subclass implements `_learn`, which gives both tables of vectors.

    The vectors of all users are kept, so that how users are batched cannot change a list, and so that a list costs
    one product. Products are summed in double precision and rounded once, for the same reason.

    Args:
        index: finds items instead of the exact product, for catalogues where that is slow; see `index_loss` for
            what it misses.
        batch_size: users scored at once.

    Attributes:
        user_vectors: float32 [n_users, D].
        item_vectors: float32 [N, D].
    """

    learned: ClassVar[tuple[str, ...]] = ("user_vectors", "item_vectors")
    user_vectors: NDArray[np.float32]
    item_vectors: NDArray[np.float32]

    def __init__(self, *, index: VectorIndex | None = None, batch_size: int = 256) -> None:
        super().__init__(batch_size)
        self.index = index

    def recommend(self, users: NDArray[np.int32], k: int, *, exclude_seen: bool = True) -> Recommendations:
        """The k best items of each user, by the index if there is one; with `exclude_seen`, none of the history."""
        if self.index is None:
            return super().recommend(users, k, exclude_seen=exclude_seen)
        check_k(k)
        known = np.flatnonzero(self.histories.lengths[users] > 0)
        found = super().recommend(np.delete(users, known), k, exclude_seen=exclude_seen)  # the popular items
        items, scores = np.full((len(users), k), -1, np.int32), np.full((len(users), k), -np.inf, np.float32)
        unknown = np.delete(np.arange(len(users)), known)
        items[unknown], scores[unknown] = found.items, found.scores
        queries = self.user_vectors[users[known]]
        scores[known], items[known] = (
            search_unseen(self.index, queries, k, self.histories, users[known])
            if exclude_seen
            else self.index.search(queries, k)
        )
        return Recommendations(np.asarray(users, np.int32), items, scores)

    def _fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> None:
        self.user_vectors, self.item_vectors = self._learn(train, items, features)

    def restored(self) -> None:
        """Build the index."""
        super().restored()
        if self.index is not None:
            self.index.build(self.item_vectors)

    @abstractmethod
    def _learn(
        self, train: Interactions, items: ItemTable, features: ItemFeatures | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vectors of all users [n_users, D] and of all items [N, D]."""

    def _score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        products = self.user_vectors[users].astype(np.float64) @ self.item_vectors.T.astype(np.float64)
        return products.astype(np.float32)
