"""Splits: which events may be learnt from, which choose a model, and which judge it.

Events of a user are ordered by time. Where times are equal, the declared tie rule decides: the `position` of
the source if it has one, else a shuffle with the split's seed. The shuffle is drawn over the events in the
order of (user, item), so copies of a dataset from different mirrors split alike.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from genrec.data.order import canonical, merged_in_time, time_order, timed
from genrec.data.tables import Interactions
from genrec.errors import ConfigError, DataError

Part = Literal["valid", "test"]


@dataclass(frozen=True)
class Split:
    """Three disjoint parts of a dataset's events, each sorted by user, then time, then the tie rule.

    Attributes:
        protocol: name and settings, such as `loo` or `time(valid=0.1, test=0.1)`.
        tie_rule: how events at the same time were ordered.
        seed: of the shuffle.
        hash: sha256 over protocol, tie rule, seed and the events of each part, hex.
    """

    protocol: str
    tie_rule: str
    seed: int
    train: Interactions
    valid: Interactions
    test: Interactions
    hash: str

    def before(self, part: Part) -> Interactions:
        """What may be known when `part` is judged: train, or train and valid; sorted like the parts."""
        if part == "valid":
            return self.train
        by_time = all(timed(one) for one in (self.train, self.valid, self.test))
        return merged_in_time(self.train, self.valid, by_time)

    def __str__(self) -> str:
        return (
            f"split {self.protocol}, ties: {self.tie_rule}, seed {self.seed}, "
            f"train/valid/test {len(self.train)}/{len(self.valid)}/{len(self.test)} events, hash {self.hash[:12]}"
        )


class Splitter(Protocol):
    """Divides a dataset's events."""

    def __call__(self, events: Interactions) -> Split:
        """The split of `events`, which may come in any order."""
        ...


@dataclass(frozen=True)
class LeaveOneOut:
    """`loo`: each user's last event is test, the one before it validation, the rest train.

    Users with fewer than three events are in train whole. An item that a user meets again counts again: each
    event is an event.

    Args:
        seed: of the shuffle of ties.
    """

    seed: int = 0

    def __call__(self, events: Interactions) -> Split:
        """Split `events`; DataError where they have no order in time or no user has three."""
        events = canonical(events)
        order, tie_rule = time_order(events, self.seed)
        users = events.users[order]
        counts = np.bincount(users, minlength=events.n_users)
        from_end = np.cumsum(counts)[users] - np.arange(len(users))  # 1 is the user's last event
        part = np.where((counts[users] >= 3) & (from_end <= 2), 3 - from_end, 0)  # 0 train, 1 valid, 2 test
        return _split("loo", tie_rule, self.seed, events, order, part)


@dataclass(frozen=True)
class GlobalTime:
    """`time`: the latest events of all users are test, those before them validation.

    The cuts are quantiles of the timestamps; events at the time of a cut all fall on its later side, so a part
    may be a little larger than asked for.

    Args:
        valid: share of events for validation.
        test: share of events for test.
        seed: of the shuffle of ties within users.
    """

    valid: float = 0.1
    test: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        _check_shares("GlobalTime", self.valid, self.test)

    def __call__(self, events: Interactions) -> Split:
        """Split `events`; DataError where a timestamp is missing or a part would be empty."""
        events = canonical(events)
        if not len(events):
            raise DataError("a global time split needs events, and there are none; check the dataset")
        if events.timestamps is None or not timed(events):
            raise DataError(
                "a global time split needs the timestamp of every event; fill in the missing ones or use LeaveOneOut"
            )
        order, tie_rule = time_order(events, self.seed)
        times = events.timestamps[order]
        last = len(times) - 1
        at = [min(int(len(times) * share), last) for share in (1 - self.valid - self.test, 1 - self.test)]
        part = np.searchsorted(np.partition(times, at)[at], times, side="right")
        name = f"time(valid={self.valid:g}, test={self.test:g})"
        split = _split(name, tie_rule, self.seed, events, order, part)
        bounds = [
            one.timestamps for one in (split.train, split.valid, split.test) if one.timestamps is not None
        ]
        assert all(earlier.max() <= later.min() for earlier, later in pairwise(bounds))
        return split


@dataclass(frozen=True)
class RandomSplit:
    """`random`: of each user's events, drawn without regard to time; for CTR ranking and for comparison only.

    The counts are those of RecBole's ratio split grouped by user (Zhao et al., CIKM 2021): shares are rounded
    down, and where a share comes to less than one event, one is taken as long as train keeps one.

    Args:
        valid: share of each user's events for validation.
        test: share of each user's events for test.
        seed: of the draw.
    """

    valid: float = 0.1
    test: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        _check_shares("RandomSplit", self.valid, self.test)

    def __call__(self, events: Interactions) -> Split:
        """Split `events`, which need neither timestamps nor positions."""
        events = canonical(events)
        counts = np.bincount(events.users, minlength=events.n_users)
        n_test = np.floor(self.test * counts).astype(np.int64)
        n_valid = np.floor(self.valid * counts).astype(np.int64)
        n_train = counts - n_test - n_valid
        for share, taken in ((self.test, n_test), (self.valid, n_valid)):
            one_more = (counts > 0) & (share * counts < 1) & (n_train > 1)
            taken += one_more
            n_train -= one_more
        rank = _random_rank(events, counts, self.seed)
        part = (rank >= n_train[events.users]).astype(np.int64) + (rank >= (n_train + n_valid)[events.users])
        try:
            order, tie_rule = time_order(events, self.seed)
        except DataError:  # nothing here depends on time
            order, tie_rule = np.lexsort((rank, events.users)), "shuffled"
        name = f"random(valid={self.valid:g}, test={self.test:g})"
        return _split(name, tie_rule, self.seed, events, order, part[order])


@dataclass(frozen=True)
class WithheldItems:
    """`withheld`: another split, in which some items occur in the test part only, as items do that come out today.

    The items are drawn among all with events. Test users whose target they are show what a method makes of an
    item's content alone.

    Args:
        base: the split that is changed.
        share: of the items.
        seed: of the draw.
    """

    base: Splitter
    share: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ConfigError(f"WithheldItems.share must be between 0 and 1, got {self.share}")

    def __call__(self, events: Interactions) -> Split:
        """The base split of `events` without what train and validation know of the withheld items."""
        split = self.base(events)
        known = np.flatnonzero(events.item_counts())
        drawn = np.random.default_rng((self.seed, 2)).choice(known, round(self.share * len(known)), False)
        withheld = np.zeros(events.n_items, dtype=bool)
        withheld[drawn] = True
        train, valid = (one.take(np.flatnonzero(~withheld[one.items])) for one in (split.train, split.valid))
        name = f"withheld({split.protocol}, share={self.share:g}, seed={self.seed})"
        return _hashed(name, split.tie_rule, split.seed, train, valid, split.test)


def _random_rank(events: Interactions, counts: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """A random place for each event among its user's [E]; independent of the shuffle of ties."""
    draw = np.random.default_rng((seed, 1)).permutation(len(events))
    order = np.lexsort((draw, events.users))
    starts = np.cumsum(counts) - counts
    rank = np.empty(len(events), dtype=np.int64)
    rank[order] = np.arange(len(events)) - starts[events.users[order]]
    return rank


def _split(
    protocol: str,
    tie_rule: str,
    seed: int,
    events: Interactions,
    order: NDArray[np.int64],
    part: NDArray[np.int64],
) -> Split:
    """The split that gives the event at row `order[i]` to part `part[i]`: 0 train, 1 valid, 2 test."""
    train, valid, test = (events.take(order[part == number]) for number in range(3))
    return _hashed(protocol, tie_rule, seed, train, valid, test)


def _hashed(
    protocol: str, tie_rule: str, seed: int, train: Interactions, valid: Interactions, test: Interactions
) -> Split:
    n_events = len(train) + len(valid) + len(test)
    for name, one in (("train", train), ("valid", valid), ("test", test)):
        if not len(one):
            raise DataError(
                f"split {protocol} leaves the {name} part empty; the dataset of {n_events} events is too small "
                "for it, so use another split or more data"
            )
    digest = hashlib.sha256(f"{protocol}|{tie_rule}|{seed}".encode())
    for one in (train, valid, test):
        for column in (one.users, one.items, one.timestamps, one.positions):
            digest.update(b"-" if column is None else np.ascontiguousarray(column).view(np.uint8).data)
    return Split(protocol, tie_rule, seed, train, valid, test, digest.hexdigest())


def _check_shares(owner: str, valid: float, test: float) -> None:
    for name, share in (("valid", valid), ("test", test)):
        if not 0 < share < 1:
            raise ConfigError(f"{owner}.{name} must be between 0 and 1, got {share}")
    if valid + test >= 1:
        raise ConfigError(
            f"{owner}.valid and {owner}.test must leave something to train on, got {valid} and {test}"
        )
