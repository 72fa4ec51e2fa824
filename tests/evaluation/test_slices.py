from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from genrec.evaluation import slices
from genrec.evaluation.protocol import Evaluation, EvaluationSet, Recommender, evaluate

ByScores = Callable[[NDArray[np.float64]], Recommender]


@pytest.fixture
def pair(cases: EvaluationSet, by_scores: ByScores) -> tuple[Evaluation, Evaluation]:
    """Two random methods."""
    rng = np.random.default_rng(5)
    a, b = (evaluate(by_scores(rng.random((60, 40))), cases, (5, 10), method=m, masked=True) for m in "ab")
    return a, b


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.integers(1, 8))
def test_bins_cover_every_case_once_and_say_so(values: list[int], n: int) -> None:
    bins = slices.count_bins(np.array(values), n)
    assert bins.sizes.sum() == len(values)
    assert len(bins.labels) == len(bins.sizes) <= n + 1
    assert (bins.sizes > 0).all()
    for value, bin_number in zip(values, bins.of.tolist(), strict=True):
        assert covers(bins.labels[bin_number], value), (bins.labels[bin_number], value)
    if 0 in values:
        assert bins.labels[0] == "0"


def covers(label: str, value: int) -> bool:
    if label.startswith("≥"):
        return value >= int(label[1:])
    first, _, last = label.partition("–")
    return int(first) <= value <= int(last or first)


def test_bin_means_are_means_of_their_cases() -> None:
    bins = slices.count_bins(np.array([0, 1, 1, 9, 0]), 2)
    assert bins.labels == ("0", "1–8", "≥ 9") or bins.labels == ("0", "≥ 1")
    assert bins.means(np.array([1.0, 0.0, 1.0, 1.0, 0.0]))[0] == 0.5


def test_the_curve_passes_through_the_table(
    cases: EvaluationSet, pair: tuple[Evaluation, Evaluation]
) -> None:
    curve = slices.recall_curve(pair[0], cases)
    assert len(curve) == 10
    assert curve[4] == pytest.approx(pair[0].summary["recall@5"])
    assert curve[9] == pytest.approx(pair[0].summary["recall@10"])


def test_found_targets_by_loops(cases: EvaluationSet, pair: tuple[Evaluation, Evaluation]) -> None:
    lists = pair[0].recommendations.items
    expected = [
        item in lists[row, :5].tolist()
        for row, item in zip(cases.target_rows, cases.target_items, strict=True)
    ]
    assert slices.targets_found(pair[0], cases, 5).tolist() == expected


def test_overlap_counts_every_target_once(cases: EvaluationSet, pair: tuple[Evaluation, Evaluation]) -> None:
    a, b = (slices.targets_found(one, cases, 10) for one in pair)
    found = slices.overlap(*pair, cases, 10)
    assert found.both + found.only_first == a.sum()
    assert found.both + found.only_second == b.sum()
    assert found.both + found.only_first + found.only_second + found.neither == len(a)
    assert found.either == pytest.approx((a | b).mean())
    alone = slices.overlap(pair[0], pair[0], cases, 10)
    assert alone.only_first == alone.only_second == 0


def test_cold_items(cases: EvaluationSet, by_scores: ByScores) -> None:
    """Item 39 alone is cold, and user 59 alone wants it."""
    scores = np.random.default_rng(0).random((60, 40))
    scores[:, 39] = 2.0
    always = evaluate(by_scores(scores), cases, [5], method="always", masked=True)
    found = slices.cold_items(always, cases, 5)
    assert (found.targets, found.found) == (1, 1)
    assert found.shown == pytest.approx(0.2)
    scores[:, 39] = -1.0
    never = evaluate(by_scores(scores), cases, [5], method="never", masked=True)
    assert slices.cold_items(never, cases, 5) == slices.ColdItems(1, 0, 0.0)


def test_cold_and_rare_targets_by_loops(cases: EvaluationSet, pair: tuple[Evaluation, Evaluation]) -> None:
    found = slices.by_familiarity(pair[0], cases, 10)
    hits: dict[str, list[bool]] = {"cold/recall@10": [], "rare/recall@10": []}
    for row, items in enumerate(pair[0].recommendations.items.tolist()):
        for target in cases.target_items[cases.target_offsets[row] : cases.target_offsets[row + 1]]:
            count = int(cases.item_counts[target])
            if count < 10:
                hits["rare/recall@10" if count else "cold/recall@10"].append(int(target) in items)
    assert found == {name: pytest.approx(np.mean(one)) for name, one in hits.items() if one}
    assert found
