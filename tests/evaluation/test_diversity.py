from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray

from genrec.errors import ConfigError
from genrec.evaluation import metrics
from genrec.evaluation.diversity import Order, Point, flat_curve, trade_off, trade_off_section
from genrec.evaluation.page import render_page
from genrec.evaluation.plots import Series, path_plot
from genrec.evaluation.protocol import EvaluationSet
from genrec.evaluation.significance import bootstrap, paired_bootstrap

LAMBDAS = (0.0, 1.0, 0.5)


@pytest.fixture
def vectors() -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32)


@pytest.fixture
def order(cases: EvaluationSet) -> Order:
    """Targets stand at the top with λ = 1, and are mixed with other items the more, the smaller λ is."""
    rng = np.random.default_rng(2)
    noise = rng.random((60, 40))
    hit = np.zeros((60, 40))
    hit[cases.target_rows, cases.target_items] = 1.0

    def lists(lambda_mmr: float) -> NDArray[np.int32]:
        return np.argsort(-(lambda_mmr * hit + noise), axis=1)[:, :8].astype(np.int32)

    return lists


@pytest.fixture
def points(order: Order, cases: EvaluationSet, vectors: NDArray[np.float32]) -> tuple[Point, ...]:
    return trade_off(order, cases, vectors, k=5, lambdas=LAMBDAS)


def test_each_point_is_the_metrics_of_its_lists(
    points: tuple[Point, ...], order: Order, cases: EvaluationSet, vectors: NDArray[np.float32]
) -> None:
    def ndcg(items: NDArray[np.int32]) -> NDArray[np.float64]:
        hit = metrics.hits(items[:, :5], cases.target_offsets, cases.target_items, 40)
        return metrics.accuracy(hit, cases.n_targets, [5])["ndcg@5"]

    assert [one.lambda_mmr for one in points] == [1.0, 0.5, 0.0]
    for one in points:
        items = order(one.lambda_mmr)
        beyond = metrics.beyond_accuracy(items, cases.item_counts, [5], vectors)
        assert (one.novelty, one.coverage) == (beyond["novelty@5"], beyond["coverage@5"])
        assert one.ild == pytest.approx(beyond["ild@5"])
        alone = bootstrap(ndcg(items))
        assert (one.ndcg.mean, one.ndcg.low, one.ndcg.high) == pytest.approx(
            (alone.mean, alone.low, alone.high)
        )
        expected = paired_bootstrap(ndcg(items), ndcg(order(1.0)))
        assert (one.change.mean, one.change.low) == pytest.approx((expected.mean, expected.low))


def test_relevance_is_lost_on_the_way(points: tuple[Point, ...]) -> None:
    assert points[0].change.mean == points[0].change.low == 0
    assert points[0].ndcg.mean > points[1].ndcg.mean > points[2].ndcg.mean
    assert points[2].change.high < 0


def test_lambda_of_one_is_compared_with_even_if_not_shown(
    points: tuple[Point, ...], order: Order, cases: EvaluationSet, vectors: NDArray[np.float32]
) -> None:
    assert trade_off(order, cases, vectors, k=5, lambdas=[0.5])[0] == points[1]


def test_flat_keys(points: tuple[Point, ...]) -> None:
    flat = flat_curve(points, "valid/ease/masked", 5)
    assert flat["valid/ease/masked/lambda/0.5/ndcg@5"] == points[1].ndcg.mean
    assert flat["valid/ease/masked/lambda/0/ild@5"] == points[2].ild
    assert len(flat) == 3 * 6


@pytest.mark.parametrize("lambdas", [(), (0.5, 1.2)])
def test_lambdas_are_checked(
    lambdas: tuple[float, ...], order: Order, cases: EvaluationSet, vectors: NDArray[np.float32]
) -> None:
    with pytest.raises(ConfigError, match=r"trade_off\.lambdas"):
        trade_off(order, cases, vectors, lambdas=lambdas)


def test_the_section_shows_every_point(points: tuple[Point, ...]) -> None:
    html = render_page("x", [trade_off_section({"EASE": points, "ItemKNN": points[:2]}, 5)])
    rows = re.findall(r"<tr>\s*<th[^>]*>(EASE|ItemKNN)</th>", html)
    assert rows == ["EASE"] * 3 + ["ItemKNN"] * 2
    assert f"{points[1].ndcg.mean:.4f}" in html
    assert len(re.findall('class="bad"', html)) == sum(one.change.high < 0 for one in (*points, *points[:2]))


def test_crowded_names_are_left_out_and_the_ends_kept() -> None:
    def named(x: list[float]) -> list[str]:
        svg = path_plot([Series("a", x, [1.0, 0.9, 0.8, 0.0], 0)], [["n1", "n2", "n3", "n4"]], "x", "y")
        return re.findall(r">\s*(n\d)\s*</text>", svg)

    assert sorted(named([0.0, 1.0, 2.0, 3.0])) == ["n1", "n2", "n3", "n4"]
    assert sorted(named([0.0, 2.99, 2.995, 3.0])) in (["n1", "n2", "n4"], ["n1", "n3", "n4"])
