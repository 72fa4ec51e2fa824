"""Placing rows under parents whose children take only so many."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from genrec.tokenizer import placement
from genrec.tokenizer.placement import Costs, cheapest, match, spread


def of(cost: NDArray[np.float32]) -> Costs:
    return lambda rows: cost[rows].copy()


def one_parent(n: int) -> NDArray[np.int64]:
    return np.zeros(n, dtype=np.int64)


@settings(max_examples=60)
@given(n=st.integers(1, 5), k=st.integers(5, 6), seed=st.integers(0, 10_000))
def test_a_match_is_the_cheapest_of_all(n: int, k: int, seed: int) -> None:
    cost = np.random.default_rng(seed).integers(0, 9, (n, k)).astype(np.float32)
    code = match(of(cost), one_parent(n), np.ones((1, k), dtype=np.int64))
    least = min(cost[np.arange(n), list(p)].sum() for p in permutations(range(k), n))
    assert len(set(code)) == n
    assert cost[np.arange(n), code].sum() == least


@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    block=st.integers(1, 9),
    seed=st.integers(0, 999),
)
def test_a_match_keeps_to_free_children_in_blocks_too(sizes: list[int], block: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parent = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    free = np.zeros((len(sizes), 6), dtype=np.int64)
    for row, size in zip(free, sizes, strict=True):
        row[rng.permutation(6)[: rng.integers(size, 7)]] = 1
    cost = rng.random((len(parent), 6)).astype(np.float32)
    whole = match(of(cost), parent, free)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(placement, "BLOCK", block)
        assert np.array_equal(match(of(cost), parent, free), whole)
    assert (free[parent, whole] == 1).all()
    assert len(np.unique(parent * 6 + whole)) == len(parent)


@given(
    k=st.integers(1, 5),
    parents=st.integers(1, 4),
    room=st.integers(0, 5),
    seed=st.integers(0, 10_000),
    tied=st.booleans(),
)
def test_no_child_holds_more_than_it_may(k: int, parents: int, room: int, seed: int, tied: bool) -> None:
    rng = np.random.default_rng(seed)
    free = rng.integers(0, room + 1, (parents, k))
    held = rng.integers(0, free.sum(1) + 3)  # also more than there is room for
    parent = rng.permutation(np.repeat(np.arange(parents), held))
    cost = rng.random((len(parent), k)).astype(np.float32)
    if tied:
        cost[:] = np.arange(k)
    start = cheapest(of(cost), len(parent))
    assert np.array_equal(start, cost.argmin(1))
    code = spread(of(cost), start, parent, free)
    placed = code >= 0
    counts = np.bincount(parent[placed] * k + code[placed], minlength=parents * k).reshape(parents, k)
    assert (counts <= free).all()
    assert np.array_equal(
        counts.sum(1), np.minimum(held, free.sum(1))
    )  # nobody is left out while there is room
    nearest = np.bincount(parent * k + start, minlength=parents * k).reshape(parents, k)
    if (nearest <= free).all():
        assert np.array_equal(code, start)


def test_those_leave_that_lose_least() -> None:
    cost = np.array([[0, 9], [0, 1], [0, 5]], dtype=np.float32)
    code = spread(of(cost), np.zeros(3, dtype=np.int32), one_parent(3), np.array([[2, 2]]))
    assert code.tolist() == [0, 1, 0]


def test_the_start_stays_as_it_was_and_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    cost = rng.random((50, 8)).astype(np.float32)
    start = cost.argmin(1).astype(np.int32)
    before = start.copy()
    whole = spread(of(cost), start, one_parent(50), np.full((1, 8), 7))
    monkeypatch.setattr(placement, "BLOCK", 3)
    assert np.array_equal(spread(of(cost), start, one_parent(50), np.full((1, 8), 7)), whole)
    assert np.array_equal(cheapest(of(cost), 50), start)
    assert np.array_equal(start, before)


def test_nothing_to_place() -> None:
    none = np.empty((0, 3), dtype=np.float32)
    assert cheapest(of(none), 0).shape == (0,)
    assert match(of(none), one_parent(0), np.empty((0, 3), dtype=np.int64)).shape == (0,)
    assert spread(of(none), np.empty(0, np.int32), one_parent(0), np.empty((0, 3), np.int64)).shape == (0,)
