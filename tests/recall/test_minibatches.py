"""Batches of events: every event once per epoch; and the lookup of what users have taken."""

from __future__ import annotations

import numpy as np
import torch
from battery import interactions
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.histories import Histories
from genrec.recall.minibatches import Minibatches
from genrec.recall.taken import Taken


@given(st.integers(1, 50), st.integers(1, 60), st.integers(0, 3))
def test_an_epoch_is_every_row_once_in_parts_of_like_size(n: int, size: int, epoch: int) -> None:
    batches = Minibatches(n, size, seed=0)
    steps = batches.steps_per_epoch
    parts = [batches.rows(epoch * steps + step) for step in range(steps)]
    assert sorted(torch.cat(parts).tolist()) == list(range(n))
    lengths = [len(part) for part in parts]
    assert max(lengths) <= size
    assert max(lengths) - min(lengths) <= 1


def test_a_batch_depends_on_its_step_and_the_seed_only() -> None:
    one, other = Minibatches(100, 10, seed=4), Minibatches(100, 10, seed=4)
    expected = [one.rows(step) for step in range(30)]
    for step in (29, 3, 17, 3):
        assert torch.equal(other.rows(step), expected[step])
    assert not torch.equal(expected[0], expected[10])
    assert not torch.equal(Minibatches(100, 10, seed=5).rows(0), expected[0])


def test_what_users_have_taken_is_looked_up_in_their_histories() -> None:
    rng = np.random.default_rng(0)
    pairs = list(zip(rng.integers(0, 9, 40).tolist(), rng.integers(0, 12, 40).tolist(), strict=True))
    train = interactions(pairs, 11, 12)
    users, items = torch.tensor([3, 10, 0, 3, 8]), torch.tensor([5, 5, 0, 11, 7, 3])
    found = Taken(Histories.of(train))(users, items)
    assert found.tolist() == [[(user, item) in pairs for item in items.tolist()] for user in users.tolist()]
