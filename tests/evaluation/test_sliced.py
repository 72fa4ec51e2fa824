from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from genrec.errors import ConfigError
from genrec.evaluation.protocol import Evaluation, EvaluationSet, Recommender, evaluate
from genrec.evaluation.sliced import SLICES, SliceFigure, flat_slices, slice_figures, slice_table

ByScores = Callable[[NDArray[np.float64]], Recommender]


@pytest.fixture
def pair(cases: EvaluationSet, by_scores: ByScores) -> tuple[Evaluation, Evaluation]:
    """Two random methods."""
    rng = np.random.default_rng(5)
    a, b = (evaluate(by_scores(rng.random((60, 40))), cases, (5, 10), method=m, masked=True) for m in "ab")
    return a, b


@pytest.fixture
def spread(cases: EvaluationSet) -> EvaluationSet:
    """Items of every familiarity: 0, 1, 9, 10 and more events, in turn."""
    return replace(cases, item_counts=np.resize(np.array([0, 1, 9, 10, 40]), cases.n_items))


def figure(figures: list[SliceFigure], name: str, metric: str) -> SliceFigure:
    (found,) = [one for one in figures if one.slice == name and one.metric == metric]
    return found


def by_loops(one: Evaluation, cases: EvaluationSet, name: str) -> tuple[list[float], list[float]]:
    """Recall at 5 and mean reciprocal rank of each user with a target in the slice."""
    fewest, most = SLICES[name]
    recall, rank = [], []
    for row in range(len(cases.users)):
        targets = cases.target_items[cases.target_offsets[row] : cases.target_offsets[row + 1]]
        mine = [t for t in targets if fewest <= cases.item_counts[t] <= (most if most is not None else 10**9)]
        if mine:
            listed = one.recommendations.items[row, :10].tolist()
            places = [listed.index(t) + 1 if t in listed else np.inf for t in mine]
            recall.append(float(np.mean([place <= 5 for place in places])))
            rank.append(float(np.mean([1 / place for place in places])))
    return recall, rank


@pytest.mark.parametrize("name", sorted(SLICES))
def test_figures_of_a_slice_by_loops(
    spread: EvaluationSet, pair: tuple[Evaluation, Evaluation], name: str
) -> None:
    figures = slice_figures(pair, spread, (5, 10))
    (a_recall, a_rank), (b_recall, b_rank) = (by_loops(one, spread, name) for one in pair)
    recall, rank = figure(figures, name, "recall@5"), figure(figures, name, "mrr@10")
    assert recall.users == len(b_recall) > 0
    assert recall.value == pytest.approx(np.mean(b_recall))
    assert recall.reference_value == pytest.approx(np.mean(a_recall))
    assert recall.difference.mean == pytest.approx(np.mean(b_recall) - np.mean(a_recall))
    assert recall.difference.low <= recall.difference.mean <= recall.difference.high
    assert (rank.value, rank.reference_value) == pytest.approx((np.mean(b_rank), np.mean(a_rank)))
    assert (recall.method, recall.reference, recall.masking) == ("b", "a", "masked")


def test_slices_part_the_targets(spread: EvaluationSet, pair: tuple[Evaluation, Evaluation]) -> None:
    figures = slice_figures(pair, spread, (5,))
    sizes = {one.slice: one.targets for one in figures}
    assert sizes["cold"] + sizes["rare"] + sizes["known"] == sizes["all"] == len(spread.target_items)


def test_a_slice_without_targets_is_no_figure(
    cases: EvaluationSet, pair: tuple[Evaluation, Evaluation]
) -> None:
    familiar = replace(cases, item_counts=np.full(cases.n_items, 12))
    assert {one.slice for one in slice_figures(pair, familiar, (5,))} == {"all", "known"}


def test_better_everywhere_is_told_apart_and_equal_is_not(cases: EvaluationSet, by_scores: ByScores) -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((60, 40))
    better = scores.copy()
    better[cases.users[cases.target_rows], cases.target_items] += 1
    several = [
        evaluate(by_scores(s), cases, (5,), method=m, masked=True)
        for m, s in (("base", scores), ("same", scores), ("better", better))
    ]
    figures = slice_figures(several, cases, (5,))
    told = {
        one.method: one.difference.excludes_zero
        for one in figures
        if (one.slice, one.metric[:3]) == ("all", "rec")
    }
    assert told == {"same": False, "better": True}
    table = slice_table(figures)
    assert [
        line.endswith("*") for line in table.splitlines() if " all" in f" {line}" and "recall" in line
    ] == [
        False,
        True,
    ]
    flat = flat_slices(figures)
    key = f"{cases.part}/better/masked/all/recall@5"
    assert flat[key] - flat[f"{cases.part}/base/masked/all/recall@5"] == pytest.approx(
        flat[f"{key}/minus_base"]
    )
    assert flat[f"{key}/minus_base/low"] > 0
    assert flat[f"{cases.part}/base/masked/all/targets"] == len(cases.target_items)


@pytest.mark.parametrize("ks", [(), (0,), (11,)])
def test_cut_offs_must_be_within_the_lists(
    cases: EvaluationSet, pair: tuple[Evaluation, Evaluation], ks: tuple[int, ...]
) -> None:
    with pytest.raises(ConfigError, match=r"slice_figures\.ks"):
        slice_figures(pair, cases, ks)
