"""Features that tell nothing about their items, for comparison."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from genrec.data.tables import Interactions, ItemTable
from genrec.features.base import ItemEncoder, ItemFeatures


class Shuffled:
    """Another encoder's vectors, dealt out at random among the items that have one.

    What a model still gains from them it gains from having more numbers, not from what they say.

    Args:
        encoder: whose vectors.
        seed: of the deal.
    """

    def __init__(self, encoder: ItemEncoder, seed: int = 0) -> None:
        self.encoder, self.seed = encoder, seed

    def encode(self, items: ItemTable, train: Interactions) -> ItemFeatures:
        """Features [N, D], present where the encoder's are."""
        features = self.encoder.encode(items, train)
        present = np.flatnonzero(features.present)
        vectors = features.vectors.copy()
        vectors[present] = vectors[np.random.default_rng(self.seed).permutation(present)]
        return replace(features, vectors=vectors, encoder=f"Shuffled({features.encoder}, seed={self.seed})")
