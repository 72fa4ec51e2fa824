"""Item-based neighbours by semantic IDs: an item's neighbours are those that share its first codes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.artifacts import input_ref, read_manifest
from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.recall.base import ScoringRecaller
from genrec.recall.history import check_decay, check_positive, history_matrix
from genrec.tokenizer.store import KIND, load_ids


class PrefixKnn(ScoringRecaller):
    """Sum over the history of how much of its semantic ID each item shares.

    Two items that share their first d codes, and no more, are similar by 1 + growth + ... + growth^(d - 1). No
    matrix of item pairs is formed: for each depth, the history is added up by prefix, and every item reads the sum
    of its own. Items that share a prefix are told apart by how popular they are.

    An item is not its own neighbour. Users whose history shares no code with any other item get the most popular
    items.

    Args:
        ids_path: folder of the semantic IDs, as written by train_rqvae.py. Where they were made from behaviour, they
            must be from the training part of the split that is judged.
        growth: how much more each further code in common counts; above 1, for deeper prefixes are rarer.
        popularity: exponent of the candidate's number of training events, by which its score is multiplied; 0
            leaves it out.
        decay: weight of the history, per event of age.
        batch_size: users scored at once.
    """

    learned: ClassVar[tuple[str, ...]] = ("codes", "counts")

    def __init__(
        self,
        ids_path: str,
        growth: float = 2.0,
        popularity: float = 0.5,
        decay: float = 1.0,
        batch_size: int = 256,
    ) -> None:
        super().__init__(batch_size)
        if not (np.isfinite(popularity) and popularity >= 0):
            raise ConfigError(f"PrefixKnn.popularity must be a number of at least 0, got {popularity}")
        self.ids_path = ids_path
        self.growth = check_positive(self, "growth", growth)
        self.popularity = popularity
        self.decay = check_decay(self, decay)

    def _fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> None:
        self.codes = self._codes(items)
        self.counts = train.item_counts()

    def reads(self) -> dict[str, dict[str, str]]:
        """The semantic IDs."""
        return {"semantic_ids": input_ref(self.ids_path, read_manifest(Path(self.ids_path), KIND).identity)}

    def _codes(self, items: ItemTable) -> NDArray[np.int32]:
        """Semantic IDs [N, L] of the catalogue."""
        return load_ids(Path(self.ids_path), items).ids.codes

    def restored(self) -> None:
        """Number the prefixes of each depth and weigh the candidates."""
        super().restored()
        depths = range(1, self.codes.shape[1])  # whole ids are unique: nothing but the item itself shares one
        numbered = [np.unique(self.codes[:, :depth], axis=0, return_inverse=True)[1] for depth in depths]
        self._prefix = [number.ravel() for number in numbered]  # L arrays [N]
        self._weights = [self.growth**depth for depth in range(len(numbered))]
        # +1, or an item without events could never be told from one without anything in common.
        self._prior = np.power(self.counts + 1.0, self.popularity)  # [N]

    def _score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        history = history_matrix(self.histories, users, self.decay).astype(np.float64)  # [B, N]
        scores = -sum(self._weights) * history.toarray()  # what an item will get from itself
        for prefix, weight in zip(self._prefix, self._weights, strict=True):
            scores += weight * (history @ membership(prefix)).toarray()[:, prefix]  # by prefix, then [B, N]
        scores[scores < 1e-9] = 0.0  # what rounding leaves
        lonely = ~scores.any(axis=1)
        scores *= self._prior
        scores[lonely] = self._popular
        return np.asarray(scores, dtype=np.float32)


def membership(group: NDArray[np.integer]) -> sp.csr_array:
    """Sparse [N, groups] with a 1 in the column of each item's group [N]."""
    n = len(group)
    return sp.csr_array((np.ones(n), group, np.arange(n + 1)), shape=(n, int(group.max(initial=-1)) + 1))
