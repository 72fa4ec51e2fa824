"""Histories as a weighted user-item matrix, which is what the linear recallers multiply by."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.data.histories import Histories
from genrec.errors import ConfigError


def check_decay(owner: object, decay: float) -> float:
    """The decay, or ConfigError in the owner's name unless it is in (0, 1]."""
    if not 0.0 < decay <= 1.0:
        raise ConfigError(f"{type(owner).__name__}.decay must be above 0 and at most 1, got {decay}")
    return decay


def history_matrix(histories: Histories, users: NDArray[np.integer], decay: float = 1.0) -> sp.csr_array:
    """Sparse float32 [len(users), n_items]: `decay ** age` per item, age 0 being the newest event.

    Ages count events, not time. An item that occurs repeatedly counts at most 1; with `decay=1` the matrix is
    binary.
    """
    row, item = histories.rows(users)
    stops = np.cumsum(histories.lengths[users])
    age = stops[row] - 1 - np.arange(len(row))
    weights = np.power(decay, age).astype(np.float32)
    matrix = sp.csr_array((weights, (row, item)), shape=(len(users), histories.n_items))
    matrix.sum_duplicates()
    np.minimum(matrix.data, 1.0, out=matrix.data)
    return matrix
