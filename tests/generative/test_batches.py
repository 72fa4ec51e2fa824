from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.histories import Histories
from genrec.errors import ConfigError, DataError
from genrec.generative.base import Window
from genrec.generative.batches import OVERLAP, BatchPlan, balanced, newest, windows

LENGTHS = st.lists(st.integers(0, 60), min_size=1, max_size=25).filter(any)


def histories(lengths: list[int], *, timed: bool = True) -> Histories:
    """Every event is an item of its own, so that an item says where it stands, and when: at 10 * item + 1."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    n = int(offsets[-1])
    return Histories(offsets, np.arange(n, dtype=np.int32), n, np.arange(n) * 10 + 1 if timed else None)


def assert_users_and_times_fit(window: Window, made: Histories) -> None:
    """Of `histories`: whose each item is, and when."""
    real = window.items >= 0
    assert window.times is not None
    assert window.times.dtype == window.users.dtype == torch.int64
    assert torch.equal(window.times, torch.where(real, window.items * 10 + 1, 0))
    owner = np.searchsorted(made.offsets, window.items.numpy(), side="right") - 1
    assert np.array_equal(np.where(real, owner, 0), np.where(real, window.users[:, None], 0))


@given(lengths=LENGTHS, max_length=st.integers(OVERLAP, 40))
def test_windows_are_runs_of_one_history_whose_targets_are_every_item_once(
    lengths: list[int], max_length: int
) -> None:
    made, cut = histories(lengths), windows(histories(lengths), max_length)
    targets: Counter[int] = Counter()
    for user, start, length, first in zip(cut.user, cut.start, cut.length, cut.first, strict=True):
        begin, end = made.offsets[user : user + 2]
        assert begin <= start
        assert start + length <= end
        assert 0 <= first < length <= max_length + 1
        targets.update(range(int(start + first), int(start + length)))
        if start > begin:  # a window that continues reads what came before as context
            assert first >= max_length // OVERLAP
            assert length == max_length + 1
        else:
            assert first == 0
    assert targets == Counter(range(sum(lengths)))


@given(
    lengths=LENGTHS,
    max_length=st.integers(OVERLAP, 40),
    tokens=st.integers(41, 200),
    rows=st.integers(1, 8),
    seed=st.integers(0, 5),
)
def test_an_epoch_has_every_target_once_within_the_budget(
    lengths: list[int], max_length: int, tokens: int, rows: int, seed: int
) -> None:
    made = histories(lengths)
    plan = BatchPlan(made, max_length=max_length, tokens=tokens, rows=rows, seed=seed)
    for epoch in (0, 3):
        targets: list[int] = []
        for step in range(plan.steps_per_epoch):
            window, first = plan.batch(epoch * plan.steps_per_epoch + step)
            items = window.items
            assert items.dtype == first.dtype == torch.int64
            assert_users_and_times_fit(window, made)
            assert 1 <= len(items) == len(first) <= rows
            assert items.shape[1] <= max_length + 1
            assert items.numel() <= tokens * (1 + BatchPlan.JITTER) or len(items) == 1
            real = items >= 0
            assert (real[:, :-1] >= real[:, 1:]).all()  # padding only at the end
            assert real[:, -1].any()  # and none that no row needs
            for row, start in zip(items, first, strict=True):
                kept = row[row >= 0]
                assert (kept.diff() == 1).all()
                targets += kept[int(start) :].tolist()
        assert sorted(targets) == list(range(sum(lengths)))


@given(lengths=LENGTHS, max_length=st.integers(1, 70), data=st.data())
def test_the_newest_items_are_those_of_each_user_in_order(
    lengths: list[int], max_length: int, data: st.DataObject
) -> None:
    made = histories(lengths)
    users = np.array(data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=9)), dtype=np.int32)
    window = newest(made, users, max_length)
    assert window.users.tolist() == users.tolist()
    assert_users_and_times_fit(window, made)
    assert window.items.shape == (len(users), max(1, min(max_length, max(made.lengths[users], default=0))))
    for user, row in zip(users, window.items.tolist(), strict=True):
        expected = made[user][-max_length:].tolist()
        assert row == expected + [-1] * (len(row) - len(expected))


def test_without_timestamps_there_are_no_times() -> None:
    made = histories([3, 0, 2], timed=False)
    assert newest(made, np.array([1, 2]), 5).times is None
    assert BatchPlan(made, max_length=20, tokens=100, rows=8, seed=0).batch(0)[0].times is None


def test_nobody_has_done_anything() -> None:
    assert newest(histories([0, 0]), np.array([0, 1]), 5).items.tolist() == [[-1], [-1]]


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    made = histories(np.random.default_rng(0).integers(1, 60, 50).tolist())

    def plan(seed: int) -> BatchPlan:
        return BatchPlan(made, max_length=20, tokens=100, rows=8, seed=seed)

    one, other = plan(3), plan(3)
    steps = list(range(3 * one.steps_per_epoch))
    backwards = {step: other.batch(step) for step in reversed(steps)}
    for step in steps:
        (found, first), (expected, expected_first) = one.batch(step), backwards[step]
        assert torch.equal(found.items, expected.items)
        assert torch.equal(found.users, expected.users)
        assert torch.equal(first, expected_first)

    def epoch(of: BatchPlan, number: int) -> list[list[int]]:
        return [of.batch(number * of.steps_per_epoch + step)[0].items.flatten().tolist() for step in range(5)]

    assert epoch(one, 0) != epoch(one, 1)
    assert epoch(one, 0) != epoch(plan(4), 0)
    assert one.steps_per_epoch == plan(4).steps_per_epoch


def test_the_model_is_trained_on_histories_as_long_as_it_reads() -> None:
    """Else the state that recommends to users with long histories would be one that no loss has touched."""
    cut = windows(histories([5, 9, 30]), max_length=8)
    assert cut.length.max() - 1 == 8


def test_similar_lengths_go_together() -> None:
    lengths = [2] * 100 + [50] * 10
    plan = BatchPlan(histories(lengths), max_length=50, tokens=100, rows=1000, seed=0)
    batches = [plan.batch(step)[0].items for step in range(plan.steps_per_epoch)]
    assert sum(items.numel() for items in batches) <= 1.1 * sum(lengths)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": 20}, "train.batch_tokens"),
        ({"rows": 0}, "train.batch_size"),
        ({"max_length": OVERLAP - 1}, "Timeline.max_length"),
    ],
)
def test_wrong_sizes_name_their_binding(change: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BatchPlan(histories([5, 3]), **{"max_length": 20, "tokens": 100, "rows": 8, "seed": 0} | change)


def test_no_histories_no_plan() -> None:
    with pytest.raises(DataError, match="no training histories"):
        BatchPlan(histories([0, 0]), max_length=20, tokens=100, rows=8, seed=0)


def targets_of(window: Window, first: torch.Tensor) -> list[int]:
    """Items that are targets."""
    column = torch.arange(window.items.shape[1])
    return window.items[(window.items >= 0) & (column >= first[:, None])].tolist()


@given(lengths=LENGTHS, size=st.integers(1, 5), rows=st.integers(1, 8))
def test_processes_share_a_batch_without_overlap(lengths: list[int], size: int, rows: int) -> None:
    plan = BatchPlan(histories(lengths), max_length=20, tokens=60, rows=rows, seed=0)
    for step in range(plan.steps_per_epoch):
        window, first = plan.batch(step)
        expected = targets_of(window, first)
        parts = [plan.part(step, rank, size) for rank in range(size)]
        assert sum(share for _, _, share in parts) == pytest.approx(1.0)
        found: list[int] = []
        for part, start, share in parts:
            assert len(part.items) >= 1, "every process has something to compute"
            if share > 0:
                own = targets_of(part, start)
                assert share * len(expected) == pytest.approx(len(own))
                found += own
        assert sorted(found) == sorted(expected)


@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=60), size=st.integers(1, 6))
def test_no_process_has_much_more_to_read_than_its_share(lengths: list[int], size: int) -> None:
    many = np.array(lengths)
    process = balanced(many, size)
    assert process.min() >= 0
    assert process.max() < size
    read = np.bincount(process, many, minlength=size)
    assert np.abs(read - many.sum() / size).max() <= many.max()
