"""EASE: a linear autoencoder with a closed form."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.recall.base import ScoringRecaller
from genrec.recall.history import check_decay, history_matrix
from genrec.recall.products import dense_product


class Ease(ScoringRecaller):
    """Item-item weights with zero diagonal that reconstruct the user-item matrix, by ridge regression.

    Steck (2019), "Embarrassingly Shallow Autoencoders for Sparse Data", section 3.1: with P the inverse of
    X'X + l2 I, the weights are B_ij = -P_ij / P_jj. The inverse is dense: memory grows with the square of the
    catalogue, time with its cube.

    Args:
        l2: ridge penalty, above 0; some hundreds are usual.
        decay: weight of the history when scoring, per event of age; 1 is the paper's.
        max_items: a larger catalogue is refused instead of exhausting the memory.
        batch_size: users scored at once.
    """

    learned: ClassVar[tuple[str, ...]] = ("weights",)

    def __init__(
        self, l2: float = 300.0, decay: float = 1.0, max_items: int = 30_000, batch_size: int = 256
    ) -> None:
        super().__init__(batch_size)
        if not (np.isfinite(l2) and l2 > 0):
            raise ConfigError(f"Ease.l2 must be a positive number, got {l2}")
        self.l2 = l2
        self.decay = check_decay(self, decay)
        self.max_items = max_items

    def _fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> None:
        if train.n_items > self.max_items:
            needed = 2 * 4 * train.n_items**2 / 1e9  # two float32 matrices [N, N] at the peak
            raise ConfigError(
                f"Ease needs {needed:.0f} GB for {train.n_items:,} items, and Ease.max_items is "
                f"{self.max_items:,}; raise it if there is that much memory, or use ItemKnn"
            )
        self.weights = ease_weights(train.matrix(), self.l2)  # [N, N]

    def _score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        # Sparse times dense adds up each user's rows in order, so a batch's size cannot change rounding.
        scores = history_matrix(self.histories, users, self.decay) @ self.weights
        return np.asarray(scores, dtype=np.float32)


def ease_weights(matrix: sp.csr_array, l2: float) -> NDArray[np.float32]:
    """Weights [N, N] of a user-item matrix [n_users, N]; column j predicts item j.

    Single precision halves time and memory; on MovieLens-1M it moves no weight by more than 4e-6.
    """
    gram = dense_product(sp.csr_array(matrix.T), matrix)
    gram.diagonal().add_(l2)
    factor = torch.linalg.cholesky(gram)
    del gram
    inverse = torch.cholesky_inverse(factor)
    del factor
    inverse.div_(-inverse.diagonal().clone())  # column j by -P_jj
    inverse.fill_diagonal_(0.0)
    return np.asarray(inverse.contiguous().numpy())  # row-major, or every product would copy it
