"""Word2vec: histories as sentences, items as words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genrec.data.tables import Interactions
from genrec.recall.item_vectors import ItemVectorRecaller, Neighbourhood, Profile
from genrec.recall.skip_gram import SkipGram
from genrec.recall.vector_index import VectorIndex


class Word2Vec(ItemVectorRecaller):
    """Items that stand in like company are alike (item2vec, Barkan & Koenigstein 2016; here within a window).

    Args:
        skip_gram: how vectors are learned.
        neighbourhood: `ItemBased` if not given, or `UserBased`.
        profile: how a user's vector is made of those of the items.
        index: finds items instead of the exact product; item-based recall only.
        batch_size: users scored at once.
    """

    def __init__(
        self,
        *,
        skip_gram: SkipGram | None = None,
        neighbourhood: Neighbourhood | None = None,
        profile: Profile | None = None,
        index: VectorIndex | None = None,
        batch_size: int = 256,
    ) -> None:
        super().__init__(neighbourhood=neighbourhood, profile=profile, index=index, batch_size=batch_size)
        self.skip_gram = skip_gram or SkipGram()

    def _embed(self, train: Interactions) -> NDArray[np.float32]:
        return self.skip_gram.vectors(self.histories)
