"""From item vectors to recall, in two ways: near the user's items, or what users of like taste had."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from genrec.data.histories import Histories
from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.recall.history import check_decay, history_matrix
from genrec.recall.vector_index import VectorIndex
from genrec.recall.vectors import VectorRecaller
from genrec.topk import tie_ranks, topk

_BLOCK = 8192
"""Users whose profiles are made at once."""


@dataclass(frozen=True)
class Profile:
    """A user's vector: the mean direction of the newest items.

    Attributes:
        last: how many events it looks at; None is the whole history.
        decay: weight per event of age; 1 is the plain mean.
    """

    last: int | None = None
    decay: float = 1.0

    def __post_init__(self) -> None:
        if self.last is not None and self.last < 1:
            raise ConfigError(f"Profile.last must be at least 1 or None, got {self.last}")
        check_decay(self, self.decay)

    def __call__(self, histories: Histories, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Unit vectors of all users [n_users, D] from those of all items [N, D]; zero where nothing is known."""
        recent = histories if self.last is None else newest(histories, self.last)
        users = np.arange(histories.n_users)
        blocks = [
            history_matrix(recent, users[start : start + _BLOCK], self.decay) @ vectors
            for start in range(0, len(users), _BLOCK)
        ]
        return unit(np.concatenate(blocks)) if blocks else np.empty((0, vectors.shape[1]), np.float32)


class Neighbourhood(Protocol):
    """What a user's vector is compared with."""

    by_product: bool
    """Whether a score is the inner product of user and item, which is what an index finds."""

    def score(
        self,
        users: NDArray[np.int32],
        user_vectors: NDArray[np.float32],
        item_vectors: NDArray[np.float32],
        histories: Histories,
    ) -> NDArray[np.float32]:
        """Scores [len(users), N] from unit vectors of all users [n_users, D] and all items [N, D]."""
        ...


class ItemBased:
    """Items by their cosine with the user's vector: the nearest to what the user had."""

    by_product = True

    def score(
        self,
        users: NDArray[np.int32],
        user_vectors: NDArray[np.float32],
        item_vectors: NDArray[np.float32],
        histories: Histories,
    ) -> NDArray[np.float32]:
        """Scores [len(users), N]."""
        return _cosine(user_vectors[users], item_vectors)


@dataclass(frozen=True)
class UserBased:
    """Items by who had them: the most similar users, each with the weight of its similarity.

    Attributes:
        neighbours: users that are asked, at most; none whose similarity is not above 0.
        power: of the similarity as a weight; above 1, nearer users count for more.
    """

    neighbours: int = 100
    power: float = 1.0
    by_product = False

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise ConfigError(f"UserBased.neighbours must be at least 1, got {self.neighbours}")
        if not (np.isfinite(self.power) and self.power >= 0):
            raise ConfigError(f"UserBased.power must be a number of at least 0, got {self.power}")

    def score(
        self,
        users: NDArray[np.int32],
        user_vectors: NDArray[np.float32],
        item_vectors: NDArray[np.float32],
        histories: Histories,
    ) -> NDArray[np.float32]:
        """Scores [len(users), N]."""
        row = np.arange(len(users))
        similarity = _cosine(user_vectors[users], user_vectors)  # [B, n_users]
        similarity[row, users] = 0.0  # a user is not the own neighbour
        kept = min(self.neighbours, histories.n_users)
        best, found = (
            part.numpy() for part in topk(torch.from_numpy(similarity), kept, tie_ranks(len(user_vectors)))
        )
        near = best > 0
        weights = np.power(best[near], self.power)
        asked, column = np.unique(found[near], return_inverse=True)  # only their histories are read
        place = (np.repeat(row, kept)[near.ravel()], column)
        weighted = sp.csr_array((weights, place), shape=(len(users), len(asked)))
        return np.asarray((weighted @ history_matrix(histories, asked)).toarray(), dtype=np.float32)


class ItemVectorRecaller(VectorRecaller):
    """Base of recallers that learn one vector per item: a subclass implements `_embed`.

    Items about which nothing was learned have the vector 0, and so the score 0.

    Args:
        neighbourhood: `ItemBased` if not given, or `UserBased`.
        profile: how a user's vector is made of those of the items.
        index: finds items instead of the exact product; item-based recall only.
        batch_size: users scored at once.

    Raises:
        ConfigError: an index for recall that is not item-based.
    """

    def __init__(
        self,
        *,
        neighbourhood: Neighbourhood | None = None,
        profile: Profile | None = None,
        index: VectorIndex | None = None,
        batch_size: int = 256,
    ) -> None:
        super().__init__(index=index, batch_size=batch_size)
        self.neighbourhood = neighbourhood or ItemBased()
        self.profile = profile or Profile()
        if index is not None and not self.neighbourhood.by_product:
            raise ConfigError(
                f"{type(self).__name__}.index finds items near a vector, which is not how "
                f"{type(self.neighbourhood).__name__} recalls; leave it out or bind ItemBased"
            )

    def _learn(
        self, train: Interactions, items: ItemTable, features: ItemFeatures | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        vectors = unit(self._embed(train))
        return self.profile(self.histories, vectors), vectors

    def _score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        return self.neighbourhood.score(users, self.user_vectors, self.item_vectors, self.histories)

    @abstractmethod
    def _embed(self, train: Interactions) -> NDArray[np.float32]:
        """Vectors of all items [N, D]; 0 where nothing is known."""


def newest(histories: Histories, last: int) -> Histories:
    """The last events of each user only."""
    lengths = histories.lengths
    age = np.repeat(histories.offsets[1:], lengths) - 1 - np.arange(len(histories.items))
    offsets = np.concatenate([[0], np.cumsum(np.minimum(lengths, last))])
    return Histories(offsets, histories.items[age < last], histories.n_items)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1 [n, D]; rows of zeros stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = (vectors / np.where(length > 0, length, 1)).astype(np.float32)
    return scaled


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Products [n, m] of unit vectors, summed in double precision so that a batch's size cannot change them."""
    return (a.astype(np.float64) @ b.T.astype(np.float64)).astype(np.float32)
