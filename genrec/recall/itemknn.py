"""Item-based nearest neighbours: the classic that is still hard to beat on small data."""

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
from genrec.recall.history import check_decay, check_positive, history_matrix
from genrec.recall.products import dense_product


class ItemKnn(ScoringRecaller):
    """Sum of an item's cosine similarities to the history's items, over its nearest neighbours only (ItemCF).

    After Deshpande and Karypis (2004), "Item-Based Top-N Recommendation Algorithms", section 4: the cosine
    between columns of the binary user-item matrix. Each candidate keeps its own nearest neighbours. Cosines are
    computed in blocks: 0.1 GB at the peak, whatever the catalogue, beside the neighbours that are kept (8 bytes
    each).

    Args:
        neighbours: kept per item.
        shrink: added to the denominator of the cosine, so that similarities from few users count less.
        decay: weight of the history, per event of age; 1 is the classic, below 1 recent items count more.
        half_life_days: halves the weight of the history for each such time between an event and its user's newest,
            where timestamps are known; None leaves time alone.
        inverse_user_frequency: a user of n items counts 1 / log(1 + n) in the cosines, because whoever takes
            everything says little of what goes together; the idea of Breese, Heckerman and Kadie (1998), "Empirical
            Analysis of Predictive Algorithms for Collaborative Filtering", section 2.2, with users and items swapped.
        batch_size: users scored at once.
    """

    learned: ClassVar[tuple[str, ...]] = ("similarity",)

    def __init__(
        self,
        neighbours: int = 200,
        shrink: float = 0.0,
        decay: float = 1.0,
        half_life_days: float | None = None,
        inverse_user_frequency: bool = False,
        batch_size: int = 256,
    ) -> None:
        super().__init__(batch_size)
        if neighbours < 1:
            raise ConfigError(f"ItemKnn.neighbours must be at least 1, got {neighbours}")
        if not (np.isfinite(shrink) and shrink >= 0):
            raise ConfigError(f"ItemKnn.shrink must be a number of at least 0, got {shrink}")
        if half_life_days is not None:
            check_positive(self, "half_life_days", half_life_days)
        self.neighbours = neighbours
        self.shrink = shrink
        self.decay = check_decay(self, decay)
        self.half_life_days = half_life_days
        self.inverse_user_frequency = inverse_user_frequency

    def _fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> None:
        matrix = train.matrix()
        if self.inverse_user_frequency:
            matrix = by_inverse_frequency(matrix)
        # [N, N]; column j holds the similarities of candidate j to its nearest neighbours.
        self.similarity = nearest(matrix, self.neighbours, self.shrink).T.tocsr()

    def _score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        taken = history_matrix(self.histories, users, self.decay, self.half_life_days)
        return dense_product(taken, self.similarity).numpy()


def nearest(matrix: sp.csr_array, neighbours: int, shrink: float) -> sp.csr_array:
    """Sparse [N, N] whose row j holds item j's largest cosines with other items, at most `neighbours`.

    Args:
        matrix: user-item matrix [n_users, N].
    """
    return Cosine(matrix, shrink).nearest(np.arange(matrix.shape[1]), neighbours)


def by_inverse_frequency(matrix: sp.csr_array) -> sp.csr_array:
    """A binary matrix [n_users, N], scaled so that a row of n items adds 1 / log(1 + n) to products of columns."""
    counts = np.diff(matrix.indptr)
    weights = np.repeat(1.0 / np.sqrt(np.log1p(np.maximum(counts, 1))), counts)
    return sp.csr_array((weights.astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)
