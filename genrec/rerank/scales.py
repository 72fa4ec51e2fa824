"""Scores of one user's candidates brought to 0..1, so that they can be weighed against other figures of 0..1."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from genrec.errors import ConfigError

Scale = Callable[[NDArray[np.floating], NDArray[np.bool_]], NDArray[np.float32]]


def by_range(scores: NDArray[np.floating], usable: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(score - worst) / (best - worst) of each user's candidates; 1 where they are all equal.

    Args:
        scores: [U, C], finite where usable.
        usable: bool [U, C]; the rest counts for nothing and gets 0.
    """
    values = scores.astype(np.float64)
    low = np.where(usable, values, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    high = np.where(usable, values, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    scaled = (values - low) / np.where(high > low, high - low, 1.0)
    return np.where(usable, np.where(high > low, scaled, 1.0), 0.0).astype(np.float32)


def by_rank(scores: NDArray[np.floating], usable: NDArray[np.bool_]) -> NDArray[np.float32]:
    """1 - (candidates with a higher score) / (candidates of that user): 1 for the best, whatever its lead.

    Equal scores stay equal. Arguments are those of `by_range`.
    """
    values = np.where(usable, scores, -np.inf)
    order = np.argsort(-values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    first = np.zeros(values.shape, dtype=np.int64)  # place of the first candidate with the same score
    first[:, 1:] = np.where(ordered[:, 1:] < ordered[:, :-1], np.arange(1, values.shape[1]), 0)
    first = np.maximum.accumulate(first, axis=1)
    better = np.empty_like(first)
    np.put_along_axis(better, order, first, axis=1)
    n = np.maximum(usable.sum(axis=1, keepdims=True), 1)
    return np.where(usable, 1.0 - better / n, 0.0).astype(np.float32)


SCALES: Mapping[str, Scale] = {"range": by_range, "rank": by_rank}
"""Scales by name."""


def find_scale(name: str, owner: str) -> Scale:
    """The scale of that name, or ConfigError in the owner's name, such as `Mmr.scale`."""
    if name not in SCALES:
        raise ConfigError(f"{owner} must be one of {', '.join(map(repr, SCALES))}, got {name!r}")
    return SCALES[name]
