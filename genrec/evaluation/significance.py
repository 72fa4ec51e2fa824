"""Bootstrap intervals over users: of one method's mean, and of the difference of two on the same users.

Percentile intervals (Efron & Tibshirani 1993, chapter 13): users are drawn with replacement, and the two
methods share every draw, so that what is hard about a user cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genrec.errors import ConfigError

_CELLS = 1 << 22  # draws held at once: 32 MB of int64


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over users and the ends of its bootstrap interval."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside: for a difference, whether the methods are told apart."""
        return self.low > 0 or self.high < 0


def resampled_means(values: NDArray[np.floating], n: int = 2000, seed: int = 0) -> NDArray[np.float64]:
    """Column means of `values` under n resamples of its rows: float64 [n, M].

    Equal n, seed and number of users give equal draws whatever the values, so subtracting two results pairs
    them.

    Args:
        values: [U, M] per-user figures, U at least 1, no NaN.
        n: resamples.
        seed: of the draws.
    """
    if not isinstance(n, int) or n < 1:
        raise ConfigError(f"bootstrap.n, the number of resamples, must be at least 1, got {n!r}")
    if values.ndim != 2 or not len(values) or np.isnan(values).any():
        raise ValueError(f"need values [U, M] of at least one user and without NaN, got shape {values.shape}")
    users = len(values)
    rng = np.random.default_rng(seed)
    matrix = values.astype(np.float64)
    means = np.empty((n, matrix.shape[1]))
    block = max(1, _CELLS // users)
    for start in range(0, n, block):
        rows = min(block, n - start)
        drawn = rng.integers(users, size=(rows, users)) + np.arange(rows)[:, None] * users
        counts = np.bincount(drawn.ravel(), minlength=rows * users).reshape(rows, users)
        means[start : start + rows] = counts.astype(np.float64) @ matrix / users
    return means


def intervals(
    centres: NDArray[np.floating], means: NDArray[np.floating], level: float = 0.95
) -> tuple[Interval, ...]:
    """Percentile intervals: the middle `level` of every column.

    Args:
        centres: [M] figures on the users as they are.
        means: [n, M] from `resampled_means`, or the difference of two of them.
        level: coverage, inside (0, 1).
    """
    if not 0 < level < 1:
        raise ConfigError(f"bootstrap.level must lie between 0 and 1, got {level!r}")
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return tuple(Interval(float(c), float(a), float(b)) for c, a, b in zip(centres, low, high, strict=True))


def bootstrap(
    values: NDArray[np.floating] | Sequence[float], n: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Interval of the mean of one method's per-user values [U]."""
    column = np.asarray(values, dtype=np.float64)[:, None]
    return intervals(column.mean(axis=0), resampled_means(column, n, seed), level)[0]


def paired_bootstrap(
    a: NDArray[np.floating], b: NDArray[np.floating], n: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Interval of mean(a - b); a and b are per-user values [U] of two methods, in the same order of users."""
    if a.shape != b.shape:
        raise ValueError(f"paired values must be of the same users, got shapes {a.shape} and {b.shape}")
    return bootstrap(a - b, n, seed, level)
