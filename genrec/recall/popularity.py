"""Popularity: the same list for everyone, and the floor under every other method."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genrec.data.tables import Interactions, ItemTable
from genrec.features.base import ItemFeatures
from genrec.recall.base import ScoringRecaller


class Popularity(ScoringRecaller):
    """Items by their number of training events."""

    def _fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> None:
        self.weights = train.item_counts().astype(np.float32)  # [N]

    def _score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        return np.broadcast_to(self.weights, (len(users), len(self.weights)))
