"""Events at the same time, one after the other, in the order that a split declares."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from small_log import EVENTS, N_USERS, Event, log

from genrec.data.splits import LeaveOneOut, Split
from genrec.data.tables import NO_TIMESTAMP, Dataset, Interactions
from genrec.ranking.spacing import spaced
from genrec.ranking.statistics import Statistics


def parts(events: list[Event], first: int, second: int) -> Split:
    """Of each user's events by time the first `first` are train, the next `second` validation."""
    ordered = log(sorted(events, key=lambda one: (one[0], one[3])))
    counts = np.bincount(ordered.users, minlength=N_USERS)
    place = np.arange(len(ordered)) - np.repeat(np.cumsum(counts) - counts, counts)
    train = ordered.take(place < first)
    valid = ordered.take((place >= first) & (place < first + second))
    return Split("loo", "position", 0, train, valid, ordered.take(place >= first + second), "hash")


def by_user(split: Split, user: int) -> list[tuple[int, int]]:
    """(item, time) of all events of a user that have a time, part after part."""
    found: list[tuple[int, int]] = []
    for one in (split.train, split.valid, split.test):
        assert one.timestamps is not None
        rows = (one.users == user) & (one.timestamps != NO_TIMESTAMP)
        found += zip(one.items[rows].tolist(), one.timestamps[rows].tolist(), strict=True)
    return found


@settings(max_examples=60)
@given(events=EVENTS)
def test_each_event_comes_after_those_before_it_and_as_early_as_that_allows(events: list[Event]) -> None:
    split = parts(events, 3, 1)
    moved = spaced(split)
    assert moved.hash == split.hash
    for user in range(N_USERS):
        before, after = by_user(split, user), by_user(moved, user)
        assert [item for item, _ in before] == [item for item, _ in after]
        latest = None
        for (_, old), (_, new) in zip(before, after, strict=True):
            assert new == (old if latest is None else max(old, latest + 1))
            latest = new


def test_what_has_no_time_stays_so() -> None:
    events: list[Event] = [(0, 0, 5.0, NO_TIMESTAMP), (0, 1, 5.0, 4), (0, 2, 5.0, 4), (0, 3, 5.0, 4)]
    moved = spaced(parts(events, 2, 1))
    assert moved.train.timestamps is not None
    assert moved.train.timestamps.tolist() == [NO_TIMESTAMP, 4]
    assert by_user(moved, 0) == [(1, 4), (2, 5), (3, 6)]
    untimed = log(events, timed=False)
    split = Split("loo", "position", 0, untimed, untimed, untimed, "hash")
    assert spaced(split) is split


def test_a_row_then_sees_what_came_right_before_it(ml100k: Dataset) -> None:
    split = LeaveOneOut()(ml100k.interactions)
    train = spaced(split).train
    assert seen(train) > 0.999
    assert seen(split.train) < 0.6  # which is why


def seen(train: Interactions) -> float:
    """Share of events whose predecessor in the split's order is the last item that their row sees."""
    rows = np.flatnonzero(np.diff(train.users) == 0) + 1
    assert train.timestamps is not None
    moment = Statistics(train).at(train.users[rows], train.items[rows], train.timestamps[rows])
    return float((moment.history(1)[:, 0] == train.items[rows - 1]).mean())
