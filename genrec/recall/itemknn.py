"""Item-based nearest neighbours: the classic that is still hard to beat on small data."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.recall.base import ScoringRecaller
from genrec.recall.history import check_decay, history_matrix
from genrec.topk import tie_ranks, topk

_BLOCK = 512
"""Items whose similarities are dense at once: 512 x N floats, 0.1 GB for 60,000 items."""


class ItemKnn(ScoringRecaller):
    """Sum of an item's cosine similarities to the history's items, over its nearest neighbours only.

    After Deshpande and Karypis (2004), "Item-Based Top-N Recommendation Algorithms", section 4: the cosine
    between columns of the binary user-item matrix. Each candidate keeps its own nearest neighbours.

    Args:
        neighbours: kept per item.
        shrink: added to the denominator of the cosine, so that similarities from few users count less.
        decay: weight of the history, per event of age; 1 is the classic, below 1 recent items count more.
        batch_size: users scored at once.
    """

    def __init__(
        self, neighbours: int = 200, shrink: float = 0.0, decay: float = 1.0, batch_size: int = 256
    ) -> None:
        super().__init__(batch_size)
        if neighbours < 1:
            raise ConfigError(f"ItemKnn.neighbours must be at least 1, got {neighbours}")
        if not (np.isfinite(shrink) and shrink >= 0):
            raise ConfigError(f"ItemKnn.shrink must be a number of at least 0, got {shrink}")
        self.neighbours = neighbours
        self.shrink = shrink
        self.decay = check_decay(self, decay)

    def _fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> None:
        # [N, N]; column j holds the similarities of candidate j to its nearest neighbours.
        self.similarity = nearest(train.matrix(), self.neighbours, self.shrink).T.tocsr()

    def _score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        scores = history_matrix(self.histories, users, self.decay) @ self.similarity
        return np.asarray(scores.toarray(), dtype=np.float32)


def nearest(matrix: sp.csr_array, neighbours: int, shrink: float) -> sp.csr_array:
    """Sparse [N, N] whose row j holds item j's largest cosines with other items, at most `neighbours`.

    Args:
        matrix: binary user-item matrix [n_users, N].
    """
    n_items = matrix.shape[1]
    by_item = sp.csr_array(matrix.T)  # [N, n_users]
    norms = np.sqrt(np.asarray(by_item.sum(axis=1), dtype=np.float32))  # of binary columns
    kept = min(neighbours, n_items)
    ranks = tie_ranks(n_items)
    blocks: list[sp.csr_array] = []
    for start in range(0, n_items, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, n_items))
        common = (by_item[rows] @ matrix).toarray()  # [block, N] users in common
        common[np.arange(len(rows)), rows] = 0.0  # an item is not its own neighbour
        cosine = common / np.maximum(norms[rows, None] * norms + shrink, 1e-9, dtype=np.float32)
        values, columns = (found.numpy() for found in topk(torch.from_numpy(cosine), kept, ranks))
        row = np.repeat(np.arange(len(rows)), kept)
        block = sp.csr_array((values.ravel(), (row, columns.ravel())), shape=(len(rows), n_items))
        block.eliminate_zeros()
        blocks.append(block)
    stacked: sp.csr_array = sp.vstack(blocks, format="csr")
    return stacked
