"""A small catalogue with every gap an item table can have."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from genrec.data.tables import Interactions, ItemTable

TITLES = [
    "Toy Story (1995)",
    "Heat (1995)",
    "2001: A Space Odyssey (1968)",
    "Amélie (2001)",
    "Heat Wave",
    "",
    "Solaris (1972)",
    "Space Jam (1996)",
]
GENRES: list[list[str]] = [
    ["Animation", "Comedy"],
    ["Action", "Crime"],
    ["Sci-Fi"],
    ["Comedy", "Romance"],
    ["Action"],
    [],
    ["Sci-Fi"],
    ["Animation", "Comedy", "Sci-Fi"],
]
YEARS = [1995, 1995, 1968, 2001, None, None, 1972, 1996]


@pytest.fixture
def items() -> ItemTable:
    frame = pd.DataFrame(
        {
            "item_id": np.arange(8) * 10 + 10,
            "title": TITLES,
            "year": pd.array(YEARS, dtype="Int64"),
            "genres": GENRES,
            "text": ["A cowboy doll meets a space ranger.", "", "A monolith.", "", "", "", "A planet.", ""],
        },
        index=np.arange(8) + 100,  # encoders must go by row, not by the frame's index
    )
    return ItemTable(frame)


@pytest.fixture
def train() -> Interactions:
    """Three users; item 5 occurs only in a history of its own, item 7 never."""
    users = np.array([0, 0, 0, 0, 1, 1, 1, 2], np.int32)
    events = np.array([0, 1, 2, 3, 2, 6, 4, 5], np.int32)
    return Interactions(users, events, n_users=4, n_items=8)
