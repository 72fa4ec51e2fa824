"""A small catalogue of films, and candidates of it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from small_films import GENRES, N_ITEMS

from genrec.rerank.catalogue import Catalogue


@pytest.fixture
def films() -> Catalogue:
    """Six films; the last has no event, no rating, no year, no genre and no vector."""
    events = np.array([0, 0, 0, 1, 1, 2, 3, 4])
    ratings = np.array([5, 5, np.nan, 4, 2, 1, 3, 3], dtype=np.float32)
    vectors = np.zeros((N_ITEMS, 2), dtype=np.float32)
    vectors[:5] = [[1, 0], [2, 0], [0, 1], [0, -3], [3, 4]]
    return Catalogue.of(
        N_ITEMS,
        events,
        ratings,
        np.array([10, 20, 30, 5, 40, 50, 60, -1]) * 86_400,
        vectors=vectors,
        present=vectors.any(axis=1),
        years=np.array([1950, 1960, 1970, 1980, 1990, np.nan]),
        genres=(
            np.array([item for item, names in GENRES.items() for _ in names]),
            [name for names in GENRES.values() for name in names],
        ),
    )


@pytest.fixture
def everything() -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """One user, all six films in their order."""
    return np.arange(N_ITEMS, dtype=np.int32)[None], np.linspace(1, 0, N_ITEMS, dtype=np.float32)[None]
