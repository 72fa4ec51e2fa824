"""The splits: what falls where, in what order, and what makes two splits the same."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.splits import GlobalTime, LeaveOneOut, RandomSplit, Split, Splitter, WithheldItems
from genrec.data.tables import NO_TIMESTAMP, Dataset, Interactions
from genrec.errors import ConfigError, DataError

N_USERS, N_ITEMS = 5, 60


def make(
    users: list[int],
    times: list[int] | None = None,
    positions: list[int] | None = None,
    items: list[int] | None = None,
) -> Interactions:
    """Events with distinct items unless given."""
    return Interactions(
        np.array(users, np.int32),
        np.array(items if items is not None else range(len(users)), np.int32),
        N_USERS,
        N_ITEMS,
        timestamps=None if times is None else np.array(times, np.int64),
        positions=None if positions is None else np.array(positions, np.int64),
    )


@st.composite
def timed_events(draw: st.DrawFn) -> Interactions:
    """At least one user with three events; many ties in time."""
    users = [0, 0, 0, *draw(st.lists(st.integers(0, N_USERS - 1), max_size=40))]
    times = draw(st.lists(st.integers(0, 6), min_size=len(users), max_size=len(users)))
    return make(users, times)


def per_user(events: Interactions) -> dict[int, list[tuple[int, int]]]:
    """user -> (time, item) in the order of the rows."""
    assert events.timestamps is not None
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for user, time, item in zip(events.users, events.timestamps, events.items, strict=True):
        found[int(user)].append((int(time), int(item)))
    return found


def triples(events: Interactions) -> list[tuple[int, int]]:
    return sorted(zip(events.users.tolist(), events.items.tolist(), strict=True))


def check_partition(split: Split, events: Interactions) -> None:
    """Nothing is lost, nothing is twice, and each part is sorted by user, then time."""
    assert sorted(triples(split.train) + triples(split.valid) + triples(split.test)) == triples(events)
    for part in (split.train, split.valid, split.test, split.before("test")):
        assert np.all(np.diff(part.users) >= 0)
        for history in per_user(part).values():
            assert [time for time, _ in history] == sorted(time for time, _ in history)


@given(timed_events(), st.integers(0, 3))
def test_loo_takes_the_last_two_of_those_who_have_three(events: Interactions, seed: int) -> None:
    split = LeaveOneOut(seed)(events)
    check_partition(split, events)
    train, valid, test = (per_user(part) for part in (split.train, split.valid, split.test))
    for user, history in per_user(events).items():
        if len(history) < 3:
            assert len(train[user]) == len(history)
            assert user not in valid
            assert user not in test
        else:
            (chosen,), (judged,) = valid[user], test[user]
            assert train[user][-1][0] <= chosen[0] <= judged[0] == max(history)[0]


@given(timed_events(), st.integers(0, 3))
def test_before_the_test_is_train_then_validation(events: Interactions, seed: int) -> None:
    split = LeaveOneOut(seed)(events)
    assert split.before("valid") is split.train
    merged, train, valid = (per_user(part) for part in (split.before("test"), split.train, split.valid))
    assert all(merged[user] == train[user] + valid[user] for user in merged)


@given(timed_events(), st.integers(0, 3))
def test_the_order_of_the_rows_does_not_matter(events: Interactions, seed: int) -> None:
    shuffled = events.take(np.random.default_rng(seed).permutation(len(events)))
    for splitter in (LeaveOneOut(), RandomSplit(0.3, 0.3)):
        try:
            expected = splitter(events)
        except DataError:
            with pytest.raises(DataError):
                splitter(shuffled)
        else:
            assert splitter(shuffled).hash == expected.hash


def test_ties_are_shuffled_by_the_seed_alone() -> None:
    events = make([0] * 50, [7] * 50)
    lasts = {int(LeaveOneOut(seed)(events).test.items[0]) for seed in range(20)}
    assert len(lasts) > 10  # a rule such as "the higher id last" would give one
    assert LeaveOneOut(3)(events).hash == LeaveOneOut(3)(events).hash
    assert LeaveOneOut(3)(events).hash != LeaveOneOut(4)(events).hash
    assert LeaveOneOut(3)(events).tie_rule == "shuffled"


def test_position_breaks_ties() -> None:
    events = make([0, 0, 0, 0], times=[5, 5, 5, 1], positions=[2, 9, 4, 0])
    split = LeaveOneOut(seed=1)(events)
    assert split.tie_rule == "position"
    assert [split.train.items.tolist(), split.valid.items.tolist(), split.test.items.tolist()] == [
        [3, 0],
        [2],
        [1],
    ]
    assert split.before("test").items.tolist() == [3, 0, 2]


def test_position_replaces_incomplete_times() -> None:
    events = make([0, 0, 0], times=[50, NO_TIMESTAMP, 10], positions=[0, 1, 2])
    split = LeaveOneOut()(events)
    assert "position alone" in split.tie_rule
    assert split.test.items.tolist() == [2]
    assert split.before("test").items.tolist() == [0, 1]


def test_times_too_far_apart_for_one_integer_key() -> None:
    far = [-(2**62), 2**62, 0, 5, 5]
    split = LeaveOneOut()(make([4, 4, 4, 2, 2], times=far))
    assert (split.train.items.tolist()[-1], split.valid.items.tolist(), split.test.items.tolist()) == (
        0,
        [2],
        [1],
    )


def test_an_item_met_again_counts_again() -> None:
    split = LeaveOneOut()(make([0, 0, 0, 0], times=[1, 2, 3, 4], items=[8, 9, 8, 8]))
    assert (split.train.items.tolist(), split.valid.items.tolist(), split.test.items.tolist()) == (
        [8, 9],
        [8],
        [8],
    )


@given(st.lists(st.integers(0, 50), min_size=20, max_size=60, unique=True))
def test_time_split_cuts_at_quantiles(times: list[int]) -> None:
    events = make([row % N_USERS for row in range(len(times))], times)
    split = GlobalTime(valid=0.2, test=0.1)(events)
    check_partition(split, events)
    parts = [part.timestamps for part in (split.train, split.valid, split.test)]
    assert parts[0] is not None
    assert parts[0].max() < parts[1].min() <= parts[1].max() < parts[2].min()  # type: ignore[union-attr]
    assert abs(len(split.test) - 0.1 * len(times)) <= 1
    assert abs(len(split.valid) - 0.2 * len(times)) <= 1


def test_equal_times_fall_on_one_side_of_a_cut() -> None:
    times = [0] * 5 + [1] * 3 + [2] * 2
    split = GlobalTime(valid=0.25, test=0.1)(make([0, 1] * 5, times))
    assert [len(split.train), len(split.valid), len(split.test)] == [5, 3, 2]


def test_one_time_for_all_cannot_be_cut() -> None:
    with pytest.raises(DataError, match="train part empty"):
        GlobalTime()(make([0] * 9, [3] * 9))


def slow_counts(count: int, valid: float, test: float) -> tuple[int, int, int]:
    """RecBole's rule for one user, as documented: floors, then at least one while train keeps one."""
    counts = [count - int(valid * count) - int(test * count), int(valid * count), int(test * count)]
    for part, share in ((2, test), (1, valid)):
        if counts[0] <= 1:
            break
        if 0 < share * count < 1:
            counts[part] += 1
            counts[0] -= 1
    return counts[0], counts[1], counts[2]


@given(st.lists(st.integers(0, 25), min_size=N_USERS, max_size=N_USERS), st.integers(0, 2))
def test_random_split_counts_per_user(counts: list[int], seed: int) -> None:
    users = [user for user, count in enumerate([*counts[:-1], 10]) for _ in range(count)]
    events = Interactions(np.array(users, np.int32), np.arange(len(users), dtype=np.int32), N_USERS, 200)
    split = RandomSplit(seed=seed)(events)
    assert sorted(triples(split.train) + triples(split.valid) + triples(split.test)) == triples(events)
    for user, count in enumerate([*counts[:-1], 10]):
        found = tuple(int((part.users == user).sum()) for part in (split.train, split.valid, split.test))
        assert found == slow_counts(count, 0.1, 0.1)


def test_random_split_draws_without_regard_to_time() -> None:
    events = make([0] * 50, list(range(50)))
    tests = [RandomSplit(seed=seed)(events).test.items for seed in range(30)]
    assert 15 < np.mean(np.concatenate(tests)) < 35
    assert len({items.tobytes() for items in tests}) > 25


@pytest.mark.parametrize(
    ("splitter", "events", "reason"),
    [
        (LeaveOneOut(), make([0] * 5), "timestamp for every event or a position"),
        (LeaveOneOut(), make([0] * 3, [1, NO_TIMESTAMP, 2]), "timestamp for every event or a position"),
        (LeaveOneOut(), make([0, 1, 2], [1, 2, 3]), "valid part empty"),
        (GlobalTime(), make([0] * 5, positions=[1, 2, 3, 4, 5]), "timestamp of every event"),
        (GlobalTime(), make([0] * 3, [1, NO_TIMESTAMP, 2]), "timestamp of every event"),
        (LeaveOneOut(), make([], []), "train part empty"),
        (GlobalTime(), make([], []), "there are none"),
        (RandomSplit(), make([]), "train part empty"),
    ],
)
def test_impossible_splits_say_why(splitter: Splitter, events: Interactions, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        splitter(events)


@pytest.mark.parametrize("maker", [GlobalTime, RandomSplit])
@pytest.mark.parametrize(("valid", "test"), [(0.0, 0.1), (0.1, -1.0), (0.5, 0.5), (float("nan"), 0.1)])
def test_shares_are_checked(maker: type[GlobalTime] | type[RandomSplit], valid: float, test: float) -> None:
    with pytest.raises(ConfigError, match=maker.__name__):
        maker(valid=valid, test=test)


def test_ml100k_splits(ml100k: Dataset) -> None:
    split = LeaveOneOut()(ml100k.interactions)
    assert [len(split.train), len(split.valid), len(split.test)] == [98_114, 943, 943]
    assert len(split.before("test")) == 99_057
    assert f"ties: {split.tie_rule}" in str(split)
    assert split.hash[:12] in str(split)
    times = GlobalTime()(ml100k.interactions)
    assert abs(len(times.test) - 10_000) < 100
    drawn = RandomSplit()(ml100k.interactions)
    assert [len(drawn.train), len(drawn.valid), len(drawn.test)] == [80_808, 9_596, 9_596]


@given(timed_events(), st.integers(0, 3))
def test_withheld_items_occur_in_test_only(events: Interactions, seed: int) -> None:
    base = LeaveOneOut(seed=1)
    try:
        whole, split = base(events), WithheldItems(base, share=0.3, seed=seed)(events)
    except DataError:
        return  # a part is empty
    assert triples(split.test) == triples(whole.test)
    learnt = {*split.train.items.tolist(), *split.valid.items.tolist()}
    withheld = {*whole.train.items.tolist(), *whole.valid.items.tolist()} - learnt
    assert len(withheld) <= round(0.3 * len(np.unique(events.items)))
    for part, before in ((split.train, whole.train), (split.valid, whole.valid)):
        assert part.items.tolist() == [item for item in before.items.tolist() if item not in withheld]


def test_the_draw_of_withheld_items_is_seeded(ml100k: Dataset) -> None:
    splits = [WithheldItems(LeaveOneOut(), share=0.1, seed=seed)(ml100k.interactions) for seed in (0, 0, 1)]
    assert splits[0].hash == splits[1].hash != splits[2].hash
    absent = splits[0].before("test").item_counts() == 0
    assert 160 <= int((absent & (ml100k.interactions.item_counts() > 0)).sum()) <= 180
    with pytest.raises(ConfigError, match=r"WithheldItems.share"):
        WithheldItems(LeaveOneOut(), share=1.0)
