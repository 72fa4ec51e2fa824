"""Ways to make one list of several: by shares of the places, by reciprocal ranks, by hits per rank."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.recall.base import Recaller
from genrec.recall.generative import ModelRecaller
from genrec.recall.storable import Storable, walk
from genrec.recall.stored import Stored
from genrec.recall.trained import Trained
from genrec.topk import topk

Merge = tuple[NDArray[np.int32], NDArray[np.float32]]
"""(items [B, k], best first; scores [B, k]); -1 and -inf after the last where there are fewer."""


class Fusion(ABC):
    """Merges the lists of several channels into one of distinct items.

    It keeps its arguments only; what it learns is a table, which the recaller that asked for it keeps.
    """

    @abstractmethod
    def learn(
        self,
        channels: Mapping[str, Recaller],
        train: Interactions,
        items: ItemTable,
        features: ItemFeatures | None,
        depth: int,
    ) -> NDArray[np.float64]:
        """What `merge` needs to merge `depth` items of each channel: [2, C, ...], for lists unmasked and masked.

        The channels are not fitted yet, and will be afterwards.
        """

    @abstractmethod
    def merge(
        self, lists: NDArray[np.int32], table: NDArray[np.float64], k: int, ties: NDArray[np.int64]
    ) -> Merge:
        """The k best of the proposed items.

        Args:
            lists: int32 [B, C, depth], the list of each of the C channels, -1 after its last item.
            table: [C, ...], a row of what `learn` gave.
            ties: int64 [N], the order in which ties among items are broken.
        """


class ReciprocalRank(Fusion):
    """An item's score is the sum over channels of weight / (offset + rank).

    Reciprocal rank fusion (Cormack, Clarke and Buettcher 2009), with weights. It asks nothing of the channels' scores.

    Args:
        offset: the paper's k; the larger, the more agreement counts against a high rank in one channel.
        weights: of every channel by name, 0 mutes it; None is 1 each.
    """

    def __init__(self, offset: float = 60.0, weights: Mapping[str, float] | None = None) -> None:
        if not (np.isfinite(offset) and offset >= 0):
            raise ConfigError(f"ReciprocalRank.offset must be a number of at least 0, got {offset}")
        self.offset = offset
        self.weights = check_weights("ReciprocalRank.weights", weights)

    def learn(
        self,
        channels: Mapping[str, Recaller],
        train: Interactions,
        items: ItemTable,
        features: ItemFeatures | None,
        depth: int,
    ) -> NDArray[np.float64]:
        """What an item gains, [2, C, depth]."""
        weights = by_channel("ReciprocalRank.weights", self.weights, channels)
        gains = weights[:, None] / (self.offset + 1 + np.arange(depth))
        return np.stack([gains, gains])

    def merge(
        self, lists: NDArray[np.int32], table: NDArray[np.float64], k: int, ties: NDArray[np.int64]
    ) -> Merge:
        """The k items with the largest sums."""
        return summed(lists, table, k, ties)


class Calibrated(Fusion):
    """An item's score is the sum over channels of how often an item at that rank of that channel was the next one.

    ProbFuse (Lillis, Toolan, Collier and Dunnion 2006) with single ranks for its segments, smoothed by isotonic
    regression: a rank is worth no more than those before it. The rates are counted inside `fit`, on the last event of
    each training history, by channels that were fitted without it; every channel is therefore fitted twice, and
    recallers that were trained before cannot be channels. Lists with and without the history have rates of their own.

    Args:
        prior: hits added at rank 1, half of them at rank 2, a third at rank 3; they order what was never hit.
        max_users: a random sample of so many histories is counted; None takes all.
        seed: of the sample.
    """

    def __init__(self, prior: float = 1.0, max_users: int | None = 10_000, seed: int = 0) -> None:
        if not (np.isfinite(prior) and prior > 0):
            raise ConfigError(f"Calibrated.prior must be a positive number, got {prior}")
        if max_users is not None and max_users < 1:
            raise ConfigError(f"Calibrated.max_users must be at least 1, or None for all, got {max_users}")
        self.prior = prior
        self.max_users = max_users
        self.seed = seed

    def learn(
        self,
        channels: Mapping[str, Recaller],
        train: Interactions,
        items: ItemTable,
        features: ItemFeatures | None,
        depth: int,
    ) -> NDArray[np.float64]:
        """How often each rank of each channel holds the last event, given those before it, [2, C, depth].

        Raises:
            ConfigError: a channel has learned from the last events, for it was trained before.
        """
        check_untrained(channels)
        before, users, targets = last_events(train)
        if self.max_users is not None and self.max_users < len(users):
            rows = np.random.default_rng(self.seed).choice(len(users), self.max_users, replace=False)
            users, targets = users[np.sort(rows)], targets[np.sort(rows)]
        hits = np.zeros((2, len(channels), depth))
        if len(users):
            for channel, recaller in enumerate(channels.values()):
                recaller.fit(before, items, features)
                for masked in (0, 1):
                    lists = recaller.recommend(users, depth, exclude_seen=bool(masked))
                    hits[masked, channel] = (lists.items == targets[:, None]).sum(axis=0)
        ranks = np.arange(1, depth + 1)
        falling = IsotonicRegression(increasing=False)
        levels = [[falling.fit_transform(ranks, one) for one in channel] for channel in hits]
        return np.asarray((np.array(levels) + self.prior / ranks) / (len(users) + self.prior))

    def merge(
        self, lists: NDArray[np.int32], table: NDArray[np.float64], k: int, ties: NDArray[np.int64]
    ) -> Merge:
        """The k items with the largest sums."""
        return summed(lists, table, k, ties)


class Quota(Fusion):
    """Every channel gets its share of the places; one that has no more to offer leaves them to the others.

    Places are given one after the other to the channel that is furthest behind its share, by the divisors of
    Webster and Sainte-Laguë (smallest (places so far + 1/2) / share; of equals the one named first), and it takes
    its best item that is not in the list yet. A list is thereby in proportion at every length. Scores are 1 / place.

    Args:
        shares: of every channel by name, of whatever sum, 0 mutes it; None is equal shares.
    """

    def __init__(self, shares: Mapping[str, float] | None = None) -> None:
        self.shares = check_weights("Quota.shares", shares)

    def learn(
        self,
        channels: Mapping[str, Recaller],
        train: Interactions,
        items: ItemTable,
        features: ItemFeatures | None,
        depth: int,
    ) -> NDArray[np.float64]:
        """Shares, [2, C]."""
        shares = by_channel("Quota.shares", self.shares, channels)
        return np.stack([shares, shares])

    def merge(
        self, lists: NDArray[np.int32], table: NDArray[np.float64], k: int, ties: NDArray[np.int64]
    ) -> Merge:
        """The first k places."""
        left = np.where((table > 0)[:, None], lists, -1)  # items are struck off as they are placed
        shares = np.where(table > 0, table, 1.0)
        n, n_channels, depth = left.shape
        rows, taken = np.arange(n), np.zeros((n, n_channels))
        items, scores = np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32)
        for place in range(min(k, n_channels * depth)):
            offers = left >= 0  # [n, C, depth]
            behind = np.where(offers.any(axis=2), (taken + 0.5) / shares, np.inf)
            channel = behind.argmin(axis=1)
            item = left[rows, channel, offers[rows, channel].argmax(axis=1)]  # -1 where nobody has more
            items[:, place] = item
            scores[item >= 0, place] = 1 / (place + 1)
            taken[rows, channel] += item >= 0
            left[left == item[:, None, None]] = -1
        return items, scores


def summed(lists: NDArray[np.int32], gains: NDArray[np.float64], k: int, ties: NDArray[np.int64]) -> Merge:
    """The k items with the largest sums over the channels that propose them.

    Args:
        lists: int32 [B, C, depth], -1 after the last.
        gains: [C, depth], what an item gains at that rank of that channel; items that gain nothing are left out.
        ties: int64 [N].
    """
    n, width = len(lists), lists.shape[1] * lists.shape[2]
    flat = lists.reshape(n, width)
    order = np.argsort(flat, axis=1, kind="stable")  # equal items side by side, their channels in order
    flat = np.take_along_axis(flat, order, axis=1)
    gained = gains.reshape(width)[order]
    first = np.ones((n, width), dtype=bool)
    first[:, 1:] = flat[:, 1:] != flat[:, :-1]
    cells = np.arange(n)[:, None] * width + np.cumsum(first, axis=1) - 1  # one for each distinct item
    sums = np.bincount(cells.ravel(), weights=gained.ravel(), minlength=n * width).reshape(n, width)
    distinct = np.full(n * width, -1, dtype=np.int32)
    distinct[cells[first]] = flat[first]
    distinct = distinct.reshape(n, width)
    scores = np.where((distinct >= 0) & (sums > 0), sums, -np.inf).astype(np.float32)
    kept = min(k, width)
    best, columns = topk(torch.from_numpy(scores), kept, torch.from_numpy(ties[distinct]))
    items_out, scores_out = np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32)
    scores_out[:, :kept] = best.numpy()
    found = np.take_along_axis(distinct, columns.numpy(), axis=1)
    items_out[:, :kept] = np.where(scores_out[:, :kept] > -np.inf, found, -1)
    return items_out, scores_out


def last_events(train: Interactions) -> tuple[Interactions, NDArray[np.int32], NDArray[np.int32]]:
    """The events without the last of each history of at least two, those users [U], and their last items [U]."""
    counts = np.bincount(train.users, minlength=train.n_users)
    rows = (np.cumsum(counts) - 1)[counts >= 2]
    kept = np.ones(len(train), dtype=bool)
    kept[rows] = False
    return train.take(kept), train.users[rows], train.items[rows]


def check_untrained(channels: Mapping[str, Recaller]) -> None:
    """Raise ConfigError if a channel, or a recaller inside one, is not trained by `fit`."""
    for name, recaller in channels.items():
        inside = [one for _, one in walk(recaller)] if isinstance(recaller, Storable) else [recaller]
        for one in inside:
            if isinstance(one, Stored | Trained | ModelRecaller):
                raise ConfigError(
                    f"Calibrated must fit its channels to all but the last events, but {name} holds a "
                    f"{type(one).__name__}, which was trained before; merge by ReciprocalRank or Quota"
                )


def check_weights(argument: str, weights: Mapping[str, float] | None) -> dict[str, float] | None:
    """A copy, or ConfigError unless all are at least 0 and one is more."""
    if weights is None:
        return None
    values = list(weights.values())
    if not all(np.isfinite(value) and value >= 0 for value in values) or not sum(values) > 0:
        raise ConfigError(f"{argument} must be numbers of at least 0, not all of them 0, got {dict(weights)}")
    return dict(weights)


def by_channel(
    argument: str, weights: Mapping[str, float] | None, channels: Mapping[str, Recaller]
) -> NDArray[np.float64]:
    """The weight of each channel [C]; 1 each where none are given."""
    if weights is None:
        return np.ones(len(channels))
    if set(weights) != set(channels):
        raise ConfigError(
            f"{argument} is for {sorted(weights)}, but the channels are {sorted(channels)}; name each of them"
        )
    return np.array([weights[name] for name in channels], dtype=np.float64)
