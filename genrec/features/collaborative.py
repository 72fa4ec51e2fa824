"""Item features from behaviour: which items occur near each other in training histories."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures


class CoOccurrence:
    """Positive pointwise mutual information of co-occurrence, factorised.

    This is the matrix that skip-gram with negative sampling factorises implicitly (Levy and Goldberg, 2014,
    section 3), with the smoothing of the context distribution, the shift and the eigenvalue weighting of
    Levy, Goldberg and Dagan (2015, section 3). Two events of one user count `decay ** (distance - 1)`.
    Deterministic.

    Only training events are read. Items that never occur near another one in training are absent.

    Args:
        width: columns; where the catalogue has fewer items, the last columns are zero.
        window: largest distance in a history at which two events co-occur.
        decay: weight lost per step of distance, in (0, 1]; 1 loses none.
        smoothing: exponent of the context frequencies, in (0, 1]; below 1 rare contexts count less.
        negatives: the PMI is lowered by the logarithm of this; 1 leaves it.
        power: exponent of the singular values, in 0..1.
        seed: of the randomised SVD.
    """

    def __init__(
        self,
        width: int = 64,
        window: int = 10,
        decay: float = 0.9,
        smoothing: float = 0.75,
        negatives: float = 1.0,
        power: float = 0.5,
        seed: int = 0,
    ) -> None:
        for name, count in (("width", width), ("window", window), ("negatives", negatives)):
            if count < 1:
                raise ConfigError(f"CoOccurrence.{name} must be at least 1, got {count}")
        for name, share in (("decay", decay), ("smoothing", smoothing)):
            if not 0.0 < share <= 1.0:
                raise ConfigError(f"CoOccurrence.{name} must be above 0 and at most 1, got {share}")
        if not 0.0 <= power <= 1.0:
            raise ConfigError(f"CoOccurrence.power must be in 0..1, got {power}")
        self.width = width
        self.window = window
        self.decay = decay
        self.smoothing = smoothing
        self.negatives = negatives
        self.power = power
        self.seed = seed

    def encode(self, items: ItemTable, train: Interactions) -> ItemFeatures:
        """Features [N, width] from training events sorted by (user, time)."""
        pmi = positive_pmi(cooccurrence(train, self.window, self.decay), self.smoothing, self.negatives)
        present = np.diff(pmi.indptr) > 0
        vectors = np.zeros((train.n_items, self.width), dtype=np.float32)
        if present.any():
            kept = min(self.width, train.n_items)
            left, strength, _ = randomized_svd(pmi, kept, n_iter=7, random_state=self.seed)
            vectors[:, :kept] = left * strength**self.power
            vectors[~present] = 0.0
        settings = (
            f"width={self.width}, window={self.window}, decay={self.decay:g}, smoothing={self.smoothing:g}, "
            f"negatives={self.negatives:g}, power={self.power:g}, seed={self.seed}"
        )
        return ItemFeatures(vectors, present, "collaborative", f"CoOccurrence({settings})")


def cooccurrence(train: Interactions, window: int, decay: float) -> sp.csr_array:
    """Symmetric weighted counts float32 [N, N], zero diagonal: `decay ** (distance - 1)` per pair of events.

    One shift of the event column per distance, each summed into the total at once, so memory is that of the
    result and one shift. Events must be sorted by (user, time).
    """
    shape = (train.n_items, train.n_items)
    total = sp.csr_array(shape, dtype=np.float32)
    longest = int(np.bincount(train.users).max(initial=0))
    for distance in range(1, min(window, longest - 1) + 1):
        first, second = train.items[:-distance], train.items[distance:]
        pair = (train.users[:-distance] == train.users[distance:]) & (first != second)
        weights = np.full(int(pair.sum()), decay ** (distance - 1), dtype=np.float32)
        # Smaller index first: half the entries while summing, mirrored once at the end.
        low, high = np.minimum(first, second)[pair], np.maximum(first, second)[pair]
        total = total + sp.csr_array((weights, (low, high)), shape=shape)
    return sp.csr_array(total + total.T)


def positive_pmi(counts: sp.csr_array, smoothing: float, negatives: float) -> sp.csr_array:
    """max(0, log p(i, j) / (p(i) p(j)^smoothing) - log negatives), float32 [N, N], zeros not stored."""
    pmi = counts.tocoo()
    row: NDArray[np.float64] = np.asarray(counts.sum(axis=1), dtype=np.float64)
    context = row**smoothing
    with np.errstate(divide="ignore"):  # items without any count have no entry that would read their -inf
        log_row, log_context = np.log(row), np.log(context / max(context.sum(), np.finfo(np.float64).tiny))
    left, right = pmi.coords
    values = np.log(pmi.data) - log_row[left] - log_context[right] - np.log(negatives)
    positive = values > 0
    return sp.csr_array(
        (values[positive].astype(np.float32), (left[positive], right[positive])), shape=counts.shape
    )
