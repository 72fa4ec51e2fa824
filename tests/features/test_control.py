from __future__ import annotations

import numpy as np

from genrec.data.tables import Interactions, ItemTable
from genrec.features.base import ItemFeatures
from genrec.features.control import Shuffled


class Given:
    """Features handed in."""

    def __init__(self, features: ItemFeatures) -> None:
        self.features = features

    def encode(self, items: ItemTable, train: Interactions) -> ItemFeatures:
        """As they are."""
        return self.features


def test_vectors_are_dealt_out_among_those_who_have_one(items: ItemTable, train: Interactions) -> None:
    n = len(items)
    present = np.arange(n) % 3 != 0
    vectors = np.where(present[:, None], np.arange(1, n + 1)[:, None], 0).astype(np.float32)
    given = Given(ItemFeatures(vectors, present, "image", "given"))
    found = Shuffled(given, seed=1).encode(items, train)
    assert np.array_equal(found.present, present)
    assert sorted(found.vectors[:, 0]) == sorted(vectors[:, 0])
    assert (found.vectors[~present] == 0).all()
    assert (found.vectors != vectors).any()
    assert found.encoder == "Shuffled(given, seed=1)"
    again = Shuffled(given, seed=1).encode(items, train)
    assert np.array_equal(found.vectors, again.vectors)
