"""Several recallers as one: each proposes, and their lists are merged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from genrec.data.histories import Histories
from genrec.data.recommendations import Recommendations
from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.recall.base import Recaller, check_k
from genrec.recall.fusion import Fusion, ReciprocalRank
from genrec.recall.storable import Storable
from genrec.topk import tie_ranks


class Merged(Storable):
    """Multi-channel recall: every channel is asked for `depth` items, and a fusion makes one list of them.

    Where the channels together have fewer than k items for a user, the list ends in -1.

    Args:
        recallers: the channels by name, of any kind.
        how: `fusion.Quota()`, `fusion.ReciprocalRank()` (if none is given) or `fusion.Calibrated()`.
        depth: items each channel is asked for, whatever k is, so that a short list is the start of a long one.
        batch_size: users at once.

    Attributes:
        table: what the fusion learned.
    """

    learned: ClassVar[tuple[str, ...]] = ("table",)
    parts: ClassVar[tuple[str, ...]] = ("recallers",)
    table: NDArray[np.float64]

    def __init__(
        self,
        recallers: Mapping[str, Recaller],
        how: Fusion | None = None,
        depth: int = 100,
        batch_size: int = 256,
    ) -> None:
        if not recallers:
            raise ConfigError("Merged.recallers is empty; name at least one, as {'ease': @ease.Ease()}")
        for name, value in (("depth", depth), ("batch_size", batch_size)):
            if value < 1:
                raise ConfigError(f"Merged.{name} must be at least 1, got {value}")
        self.recallers = dict(recallers)
        self.how = how or ReciprocalRank()
        self.depth = depth
        self.batch_size = batch_size

    @property
    def names(self) -> tuple[str, ...]:
        """The channels, in the order of the last axis of `channels`."""
        return tuple(self.recallers)

    def fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None = None) -> Self:
        """Fit the fusion, then every channel."""
        self.table = self.how.learn(self.recallers, train, items, features, self.depth)
        for recaller in self.recallers.values():
            recaller.fit(train, items, features)
        self.remember(Histories.of(train))
        self.restored()
        return self

    def restored(self) -> None:
        """Draw the order of ties."""
        super().restored()
        self._ties: NDArray[np.int64] = tie_ranks(self.histories.n_items).numpy()

    def recommend(self, users: NDArray[np.int32], k: int, *, exclude_seen: bool = True) -> Recommendations:
        """The k best items of each user; with `exclude_seen`, none of the user's history."""
        return self.explained(users, k, exclude_seen=exclude_seen)[0]

    def channels(self, users: NDArray[np.int32], k: int, *, exclude_seen: bool = True) -> NDArray[np.int32]:
        """Who proposed what `recommend` returns: rank in each channel's list, int32 [U, k, C], 1 is best, 0 is not."""
        return self.explained(users, k, exclude_seen=exclude_seen)[1]

    def explained(
        self, users: NDArray[np.int32], k: int, *, exclude_seen: bool = True
    ) -> tuple[Recommendations, NDArray[np.int32]]:
        """What `recommend` and `channels` return, for the price of one."""
        check_k(k)
        users = np.asarray(users, np.int32)
        items, scores = np.empty((len(users), k), np.int32), np.empty((len(users), k), np.float32)
        places = np.empty((len(users), k, len(self.recallers)), np.int32)
        for start in range(0, len(users), self.batch_size):
            rows = slice(start, start + self.batch_size)
            lists = np.stack(
                [
                    recaller.recommend(users[rows], self.depth, exclude_seen=exclude_seen).items
                    for recaller in self.recallers.values()
                ],
                axis=1,
            )  # [B, C, depth]
            items[rows], scores[rows] = self.how.merge(lists, self.table[int(exclude_seen)], k, self._ties)
            places[rows] = ranks_in(lists, items[rows])
        return Recommendations(users, items, scores), places


def ranks_in(lists: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.int32]:
    """Rank, from 1, of items [B, k] in each of lists [B, C, depth]: int32 [B, k, C]; 0 where they are not."""
    ranks = np.zeros((*items.shape, lists.shape[1]), dtype=np.int32)
    for channel in range(lists.shape[1]):
        same = (lists[:, channel, None, :] == items[:, :, None]) & (items >= 0)[:, :, None]  # [B, k, depth]
        ranks[:, :, channel] = np.where(same.any(axis=2), same.argmax(axis=2) + 1, 0)
    return ranks
