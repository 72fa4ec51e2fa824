"""The one interface behind which every recaller stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

from genrec.data.histories import Histories
from genrec.data.recommendations import Recommendations
from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.recall.storable import Storable
from genrec.topk import tie_ranks, topk


class Recaller(Protocol):
    """Proposes items for users. Users and items are dense indices."""

    def fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> Self:
        """Learn from training events, sorted by (user, time); they are also the histories of `recommend`."""
        ...

    def recommend(self, users: NDArray[np.int32], k: int, *, exclude_seen: bool = True) -> Recommendations:
        """The k best items of each user; with `exclude_seen`, none of the user's history."""
        ...


class ScoringRecaller(Storable, ABC):
    """Base of recallers that can score the whole catalogue: owns history masking, cold users, ties and batches.

    A subclass implements `_fit` and `_score`; both may use `self.histories`. Users without a history get the
    most popular items, for `_score` knows nothing of them. It keeps every argument under its name, and lists in
    `learned` the attributes that `_fit` sets, so that `genrec.recall.store` can save and load it.

    Args:
        batch_size: users scored at once; changes memory, never results.
    """

    personal = True
    """Whether scores depend on the user; where they do not, users without a history get them too."""

    def __init__(self, batch_size: int = 256) -> None:
        if batch_size < 1:
            raise ConfigError(f"{type(self).__name__}.batch_size must be at least 1, got {batch_size}")
        self.batch_size = batch_size

    def fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None = None) -> Self:
        """Learn from training events, sorted by (user, time)."""
        self.remember(Histories.of(train))
        self._fit(train, items, features)
        self.restored()
        return self

    def recommend(self, users: NDArray[np.int32], k: int, *, exclude_seen: bool = True) -> Recommendations:
        """The k best items of each user; with `exclude_seen`, none of the user's history."""
        check_k(k)
        blocks = [
            self._recommend_block(users[start : start + self.batch_size], k, exclude_seen)
            for start in range(0, len(users), self.batch_size)
        ]
        items = np.concatenate([b[0] for b in blocks]) if blocks else np.empty((0, k), np.int32)
        scores = np.concatenate([b[1] for b in blocks]) if blocks else np.empty((0, k), np.float32)
        return Recommendations(np.asarray(users, np.int32), items, scores)

    def remember(self, histories: Histories) -> None:
        """Take the histories to recommend from, and how popular they make each item."""
        super().remember(histories)
        counts = np.bincount(histories.items, minlength=histories.n_items)
        self._popular = counts.astype(np.float32)  # [N]

    def restored(self) -> None:
        """Make what follows from the histories and the learned attributes, after `fit` and after loading."""
        super().restored()
        self._ranks = tie_ranks(self.histories.n_items)

    def scores(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        """Scores of the catalogue [B, N], of the history too; popularity for users without one."""
        scores = np.array(self._score(users), dtype=np.float32)  # own copy
        if self.personal:
            scores[self.histories.lengths[users] == 0] = self._popular
        return scores

    def _recommend_block(
        self, users: NDArray[np.int32], k: int, exclude_seen: bool
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        scores = torch.from_numpy(self.scores(users))  # [B, N]
        if exclude_seen:
            row, item = self.histories.rows(users)
            scores[torch.from_numpy(row), torch.from_numpy(item.astype(np.int64))] = -torch.inf
        width = min(k, scores.shape[1])
        best, columns = topk(scores, width, self._ranks)
        items = torch.full((len(users), k), -1, dtype=torch.int32)
        values = torch.full((len(users), k), -torch.inf)
        items[:, :width] = torch.where(best > -torch.inf, columns, -1).int()
        values[:, :width] = best
        return items.numpy(), values.numpy()

    @abstractmethod
    def _fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> None:
        """Learn from `train`."""

    @abstractmethod
    def _score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        """Scores [len(users), n_items], higher is better; -inf means never."""


def check_k(k: int) -> None:
    """Raise ConfigError unless k is a positive count."""
    if k < 1:
        raise ConfigError(f"k, the length of the list, must be at least 1, got {k}")
