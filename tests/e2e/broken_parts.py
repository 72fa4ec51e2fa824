"""Parts that give what they should not, for gin files to bind."""

from __future__ import annotations

import numpy as np

from genrec.data.tables import Interactions, ItemTable
from genrec.features.base import ItemFeatures


class NanEncoder:
    """Gives one item a vector that is not a number."""

    def encode(self, items: ItemTable, train: Interactions) -> ItemFeatures:
        vectors = np.ones((len(items), 4), dtype=np.float32)
        vectors[7, 2] = np.nan
        return ItemFeatures(vectors, np.ones(len(items), dtype=bool), "text", "NanEncoder()")


class SameEncoder:
    """Gives all items one vector, which no tokenizer can tell apart."""

    def encode(self, items: ItemTable, train: Interactions) -> ItemFeatures:
        vectors = np.ones((len(items), 4), dtype=np.float32)
        return ItemFeatures(vectors, np.ones(len(items), dtype=bool), "text", "SameEncoder()")
