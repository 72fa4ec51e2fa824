from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.histories import Histories
from genrec.errors import ConfigError
from genrec.generative.sliding import SlidingBatchPlan, sliding_windows

LENGTHS = st.lists(st.integers(0, 30), min_size=1, max_size=20).filter(any)


def histories(lengths: list[int]) -> Histories:
    """Every event is an item of its own, so that an item says where it stands."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Histories(offsets, np.arange(offsets[-1], dtype=np.int32), int(offsets[-1]))


@given(lengths=LENGTHS, max_length=st.integers(1, 20), tokens=st.integers(21, 90), rows=st.integers(1, 9))
def test_every_item_is_a_target_once_after_the_items_before_it(
    lengths: list[int], max_length: int, tokens: int, rows: int
) -> None:
    made = histories(lengths)
    plan = SlidingBatchPlan(made, max_length=max_length, tokens=tokens, rows=rows, seed=0)
    for epoch in (0, 2):
        targets: list[int] = []
        for step in range(plan.steps_per_epoch):
            window, first = plan.batch(epoch * plan.steps_per_epoch + step)
            assert 1 <= len(first) <= rows
            assert window.items.numel() <= tokens or len(first) == 1
            for items, begin, user in zip(window.items, first.tolist(), window.users.tolist(), strict=True):
                kept = items[items >= 0].tolist()
                assert len(kept) == begin + 1
                start, end = made.offsets[user : user + 2]
                assert kept == list(range(max(int(start), kept[-1] - max_length), kept[-1] + 1))
                assert kept[-1] < end
                targets.append(kept[-1])
        assert sorted(targets) == list(range(sum(lengths)))


def test_hardly_anything_is_padding() -> None:
    made = histories(np.random.default_rng(0).integers(1, 60, 300).tolist())
    plan = SlidingBatchPlan(made, max_length=20, tokens=420, rows=256, seed=0)
    batches = [plan.batch(step)[0].items for step in range(plan.steps_per_epoch)]
    mixed = [items for items in batches if (items < 0).any()]
    assert len(mixed) <= 20
    assert sum(int((items < 0).sum()) for items in batches) < 0.01 * sum(items.numel() for items in batches)


def test_a_batch_depends_on_seed_and_step_alone_and_epochs_differ() -> None:
    made = histories([9, 30, 4, 17])

    def batch(step: int, seed: int = 3) -> torch.Tensor:
        plan = SlidingBatchPlan(made, max_length=8, tokens=64, rows=8, seed=seed)
        return plan.batch(step)[0].items

    steps = SlidingBatchPlan(made, max_length=8, tokens=64, rows=8, seed=3).steps_per_epoch
    assert torch.equal(batch(5), batch(5))
    for other in (steps, 2 * steps):
        assert any(
            batch(step).shape != batch(step + other).shape or (batch(step) != batch(step + other)).any()
            for step in range(3)
        )
    assert any(
        batch(step).shape != batch(step, 4).shape or (batch(step) != batch(step, 4)).any()
        for step in range(3)
    )


def test_no_history_is_too_short() -> None:
    with pytest.raises(ConfigError, match=r"Tiger.max_length"):
        sliding_windows(histories([3]), 0)
