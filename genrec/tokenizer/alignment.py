"""Features of new items in the space of features that were stored before.

Encoders that learn from the catalogue (a vocabulary, principal axes, co-occurrences) describe the old items
differently once there are new ones, and a tokenizer's weights only fit the old description. The old items are in
both, so a linear map between the two can be learned from them and then applied to the new ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from genrec.errors import DataError
from genrec.features.base import ItemFeatures

RIDGE = 1e-3  # of the mean squared length of a column: keeps the map finite where columns repeat each other
HELD_OUT = 5  # one in so many old items judges the map instead of learning it

Rows = NDArray[np.int64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Aligned:
    """Features of old and new items in one space.

    Attributes:
        features: [N', D]; old items have the very vectors that were stored.
        fit: share of the variance of old items, kept from learning, that the map explains; 1 where none was needed.
    """

    features: ItemFeatures
    fit: float


def align(old: ItemFeatures, fresh: ItemFeatures, rows: Rows) -> Aligned:
    """Bring a fresh description of old and new items into the space of the stored one, block by block.

    Args:
        old: stored features [N, D].
        fresh: of the same encoders over the larger catalogue [N', D].
        rows: int64 [N], where the old items are in the larger catalogue.

    Raises:
        DataError: the encoders give other blocks of columns than before.
    """
    if old.parts != fresh.parts:
        was, now = (" + ".join(f"{width} {name}" for name, width in one.parts) for one in (old, fresh))
        raise DataError(
            f"the stored item features are {was}, but those of the new catalogue are {now}; use the features that "
            "the tokenizer was made with"
        )
    vectors = np.zeros_like(fresh.vectors)
    bounds = np.cumsum([0, *(width for _, width in old.parts)])
    missed = total = 0.0
    for start, stop in pairwise(bounds):
        block, lost, whole = _aligned_block(old.vectors[:, start:stop], fresh.vectors[:, start:stop], rows)
        vectors[:, start:stop] = block
        missed, total = missed + lost, total + whole
    present = fresh.present.copy()
    vectors[rows], present[rows] = old.vectors, old.present
    vectors[~present] = 0.0
    fit = max(1.0 - missed / total, 0.0) if total > 0 else 1.0
    return Aligned(replace(old, vectors=vectors, present=present), fit)


def _aligned_block(
    old: NDArray[np.float32], fresh: NDArray[np.float32], rows: Rows
) -> tuple[NDArray[np.float32], float, float]:
    """(fresh block in the old space [N', d], squared error and variance of old rows that were held out)."""
    again = fresh[rows]
    both = np.flatnonzero(old.any(axis=1) & again.any(axis=1))  # a block of zeros says nothing
    if np.allclose(old[both], again[both], rtol=1e-4, atol=1e-5):
        return fresh, 0.0, 0.0
    x, y = again[both].astype(np.float64), old[both].astype(np.float64)
    judged = np.random.default_rng(0).permutation(len(both)) % HELD_OUT == 0
    matrix, shift = _linear_map(x[~judged], y[~judged])
    error = float(np.square(x[judged] @ matrix + shift - y[judged]).sum())
    variance = float(np.square(y[judged] - y.mean(axis=0)).sum())
    matrix, shift = _linear_map(x, y)
    known = fresh.any(axis=1, keepdims=True)
    return np.where(known, fresh @ matrix + shift, 0.0).astype(np.float32), error, variance


def _linear_map(x: Matrix, y: Matrix) -> tuple[Matrix, Matrix]:
    """Ridge regression of y [n, d] on x [n, e]: (matrix [e, d], shift [d])."""
    if not len(x):
        return np.zeros((x.shape[1], y.shape[1])), np.zeros(y.shape[1])
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    x, y = x - mean_x, y - mean_y
    gram = x.T @ x
    gram[np.diag_indices_from(gram)] += max(RIDGE * np.trace(gram) / len(gram), 1e-12)
    matrix = np.asarray(np.linalg.solve(gram, x.T @ y))
    return matrix, np.asarray(mean_y - mean_x @ matrix)
