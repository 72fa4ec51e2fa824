"""User-based nearest neighbours: what people like oneself took."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.recall.base import ScoringRecaller
from genrec.recall.cosine import Cosine
from genrec.recall.history import history_matrix
from genrec.recall.products import dense_product


class UserCf(ScoringRecaller):
    """An item's score is the sum of the similarities of those of a user's nearest neighbours who took it.

    After Resnick et al. (1994), "GroupLens: An Open Architecture for Collaborative Filtering of Netnews", for events
    instead of ratings: the cosine of two users is the number of items they have in common over the geometric mean of
    the lengths of their histories. (Where every event counts alike, a norm over common items only would make every
    cosine 1.) Users without a neighbour get the most popular items.

    Nothing is learned but the histories; neighbours are found when lists are asked for, in blocks. Beside the
    histories as a matrix and its transpose (16 bytes per event) that takes 0.1 GB at the peak, plus the scores of a
    batch, whatever the number of users.

    Args:
        n_neighbors: of each user, at most.
        min_common_items: users with fewer items in common are not neighbours.
        similarity_threshold: users with a smaller cosine are not neighbours; in 0..1.
        batch_size: users scored at once.
    """

    learned: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        n_neighbors: int = 100,
        min_common_items: int = 1,
        similarity_threshold: float = 0.0,
        batch_size: int = 256,
    ) -> None:
        super().__init__(batch_size)
        for name, value in (("n_neighbors", n_neighbors), ("min_common_items", min_common_items)):
            if value < 1:
                raise ConfigError(f"UserCf.{name} must be at least 1, got {value}")
        if not 0.0 <= similarity_threshold <= 1.0:
            raise ConfigError(f"UserCf.similarity_threshold must be in 0..1, got {similarity_threshold}")
        self.n_neighbors = n_neighbors
        self.min_common_items = min_common_items
        self.similarity_threshold = similarity_threshold

    def _fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> None:
        """Histories are all there is."""

    def restored(self) -> None:
        """Lay out the histories by user and by item."""
        super().restored()
        self._taken = history_matrix(self.histories, np.arange(self.histories.n_users))  # [n_users, N]
        self._cosine = Cosine(sp.csr_array(self._taken.T), least=self.min_common_items)

    def _score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        similar = self._cosine.nearest(users, self.n_neighbors, self.similarity_threshold)  # [B, n_users]
        scores = dense_product(similar, self._taken).numpy()
        scores[np.diff(similar.indptr) == 0] = self._popular
        return scores
