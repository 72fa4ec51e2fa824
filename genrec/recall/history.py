"""Histories as a weighted user-item matrix, which is what the linear recallers multiply by."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.data.histories import Histories
from genrec.data.tables import NO_TIMESTAMP
from genrec.errors import ConfigError

SECONDS_PER_DAY = 86_400


def check_decay(owner: object, decay: float) -> float:
    """The decay, or ConfigError in the owner's name unless it is in (0, 1]."""
    if not 0.0 < decay <= 1.0:
        raise ConfigError(f"{type(owner).__name__}.decay must be above 0 and at most 1, got {decay}")
    return decay


def check_positive(owner: object, name: str, value: float) -> float:
    """The value, or ConfigError in the owner's name unless it is a positive number."""
    if not (np.isfinite(value) and value > 0):
        raise ConfigError(f"{type(owner).__name__}.{name} must be a positive number, got {value}")
    return value


def history_matrix(
    histories: Histories,
    users: NDArray[np.integer],
    decay: float = 1.0,
    half_life_days: float | None = None,
) -> sp.csr_array:
    """Sparse float32 [len(users), n_items]: `decay ** age` per item, age 0 being the newest event.

    Ages count events, not time. An item that occurs repeatedly counts at most 1; with `decay=1` the matrix is
    binary.

    Args:
        half_life_days: halves an event's weight for each such time between it and its user's newest event, as far as
            timestamps are known; None leaves time alone.
    """
    row, item = histories.rows(users)
    stops = np.cumsum(histories.lengths[users])
    age = stops[row] - 1 - np.arange(len(row))
    weights = np.power(decay, age)
    if half_life_days is not None and histories.timestamps is not None:
        seconds = np.asarray(histories.timestamps[histories.offsets[users + 1][row] - 1 - age])
        weights *= 0.5 ** (
            _seconds_before_newest(seconds, row, len(users)) / (SECONDS_PER_DAY * half_life_days)
        )
    places = (row.astype(np.int32), item.astype(np.int32))  # 32 bits are what MKL multiplies by
    matrix = sp.csr_array((weights.astype(np.float32), places), shape=(len(users), histories.n_items))
    matrix.sum_duplicates()
    np.minimum(matrix.data, 1.0, out=matrix.data)
    return matrix


def _seconds_before_newest(
    seconds: NDArray[np.int64], row: NDArray[np.int64], n_rows: int
) -> NDArray[np.float64]:
    """Time between each event [M] and the newest of its row; without a time it is as old as the row's oldest."""
    known = seconds != NO_TIMESTAMP
    newest = np.full(n_rows, np.iinfo(np.int64).min)
    oldest = np.full(n_rows, np.iinfo(np.int64).max)
    np.maximum.at(newest, row[known], seconds[known])
    np.minimum.at(oldest, row[known], seconds[known])
    at = np.where(known, seconds, oldest[row])
    timed = (newest >= oldest)[row]  # a row without any time is all new
    return np.where(timed, newest[row] - at, 0).astype(np.float64)
