from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from genrec.errors import ConfigError
from genrec.evaluation import metrics

KS = (1, 3, 5, 9)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[NDArray[np.int32], list[list[int]], int]:
    """Lists of distinct items ending in -1 at any place, and at least one target for every user."""
    n_items = draw(st.integers(1, 9))
    n_users = draw(st.integers(1, 6))
    width = draw(st.integers(1, 7))
    items = np.full((n_users, width), -1, dtype=np.int32)
    targets = []
    for user in range(n_users):
        row = draw(st.permutations(range(n_items)))[: draw(st.integers(0, min(width, n_items)))]
        items[user, : len(row)] = row
        targets.append(draw(st.permutations(range(n_items)))[: draw(st.integers(1, n_items))])
    return items, targets, n_items


def csr(targets: list[list[int]]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    offsets = np.cumsum([0] + [len(t) for t in targets])
    return offsets, np.array(list(itertools.chain(*targets)), dtype=np.int32)


def accuracy_by_loops(row: list[int], relevant: set[int], k: int) -> dict[str, float]:
    top = [item for item in row[:k] if item >= 0]
    places = [place for place, item in enumerate(top, start=1) if item in relevant]
    recall, precision = len(places) / len(relevant), len(places) / k
    ideal = sum(1 / math.log2(place + 1) for place in range(1, min(k, len(relevant)) + 1))
    return {
        "recall": recall,
        "precision": precision,
        "hitrate": float(len(places) > 0),
        "f1": 2 * recall * precision / (recall + precision) if places else 0.0,
        "mrr": 1 / places[0] if places else 0.0,
        "ndcg": sum(1 / math.log2(place + 1) for place in places) / ideal,
    }


@given(worlds())
@settings(max_examples=150, deadline=None)
def test_accuracy_equals_loops(world: tuple[NDArray[np.int32], list[list[int]], int]) -> None:
    items, targets, n_items = world
    offsets, flat = csr(targets)
    found = metrics.accuracy(metrics.hits(items, offsets, flat, n_items), np.diff(offsets), KS)
    assert set(found) == {f"{name}@{k}" for name in metrics.ACCURACY for k in KS}
    for user, row in enumerate(items.tolist()):
        for k in KS:
            for name, value in accuracy_by_loops(row, set(targets[user]), k).items():
                assert found[f"{name}@{k}"][user] == pytest.approx(value), (name, k)


@given(worlds(), st.integers(0, 2**32 - 1))
@settings(max_examples=80, deadline=None)
def test_beyond_accuracy_equals_loops(
    world: tuple[NDArray[np.int32], list[list[int]], int], seed: int
) -> None:
    items, _, n_items = world
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 5, n_items)
    vectors = rng.normal(size=(n_items, 3)).astype(np.float32)
    vectors[rng.random(n_items) < 0.2] = 0
    for k in KS:
        found = metrics.beyond_accuracy(items, counts, [k], vectors)
        shown = [item for row in items.tolist() for item in row[:k] if item >= 0]
        assert found[f"coverage@{k}"] == pytest.approx(len(set(shown)) / n_items)
        if not shown:
            assert math.isnan(found[f"gini@{k}"])
            assert math.isnan(found[f"novelty@{k}"])
            continue
        times = [shown.count(item) for item in range(n_items)]
        apart = sum(abs(a - b) for a in times for b in times) / (2 * n_items * sum(times))
        assert found[f"gini@{k}"] == pytest.approx(apart)
        share = [(c + 1) / (counts.sum() + n_items) for c in counts.tolist()]
        assert found[f"novelty@{k}"] == pytest.approx(sum(-math.log2(share[i]) for i in shown) / len(shown))
        lists = [ild_by_loops(row[:k], vectors) for row in items.tolist()]
        defined = [value for value in lists if value is not None]
        expected = sum(defined) / len(defined) if defined else float("nan")
        assert found[f"ild@{k}"] == pytest.approx(expected, abs=1e-5, nan_ok=True)


def ild_by_loops(row: list[int], vectors: NDArray[np.float32]) -> float | None:
    present = [vectors[item] for item in row if item >= 0 and np.any(vectors[item])]
    far = [
        1 - float(a @ b) / float(np.linalg.norm(a) * np.linalg.norm(b))
        for a, b in itertools.combinations(present, 2)
    ]
    return sum(far) / len(far) if far else None


def test_known_ndcg() -> None:
    """Two targets, hits at places 1 and 3: (1 + 1/2) / (1 + 1/log2 3)."""
    hit = np.array([[True, False, True]])
    found = metrics.accuracy(hit, np.array([2]), [3])["ndcg@3"]
    assert found == pytest.approx([1.5 / (1 + 1 / math.log2(3))])


def test_padding_is_no_hit_even_for_the_last_item_of_the_user_before() -> None:
    """Row 1's -1 has the key 1 * N - 1, which is item N-1 of row 0."""
    found = metrics.hits(np.array([[0], [-1]]), np.array([0, 1, 2]), np.array([4, 0], np.int32), 5)
    assert not found.any()


def test_a_user_without_targets_is_refused() -> None:
    with pytest.raises(ValueError, match="without targets"):
        metrics.accuracy(np.zeros((1, 3), bool), np.array([0]), [3])


@pytest.mark.parametrize("ks", [(), (0,), (5, -1), (2.5,), ("10",), (True,)])
def test_cut_offs_are_positive_whole_numbers(ks: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"evaluate\.ks"):
        metrics.check_ks(ks)


def test_cut_offs_come_sorted_and_distinct() -> None:
    assert metrics.check_ks([20, 5, np.int64(10), 5]) == (5, 10, 20)
