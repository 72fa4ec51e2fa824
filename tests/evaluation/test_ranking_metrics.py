"""Metrics of scored rows against scikit-learn and against their definitions with plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, ndcg_score, roc_auc_score

from genrec.errors import ConfigError
from genrec.evaluation.ranking_metrics import (
    auc,
    group_auc,
    list_metrics,
    log_losses,
    reliability,
    validation_figures,
)

# few distinct scores, so that ties are common
rows = st.lists(
    st.tuples(st.integers(0, 3), st.booleans(), st.integers(-3, 3), st.integers(0, 4)),
    min_size=1,
    max_size=25,
)
Rows = list[tuple[int, bool, int, int]]


def columns(some: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    users, labels, scores, weights = (np.array(column) for column in zip(*some, strict=True))
    return users * 7, labels.astype(np.float32), scores.astype(np.float32), weights


def pair_wins(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    wins = total = 0.0
    for i in range(len(labels)):
        for j in range(len(labels)):
            if labels[i] and not labels[j]:
                total += weights[i] * weights[j]
                wins += (
                    weights[i]
                    * weights[j]
                    * (1.0 if scores[i] > scores[j] else 0.5 * (scores[i] == scores[j]))
                )
    return wins / total if total else math.nan


@given(rows)
def test_auc_counts_pairs(some: Rows) -> None:
    _, labels, scores, weights = columns(some)
    for weight in (None, weights):
        expected = pair_wins(labels, scores, np.ones(len(labels)) if weight is None else weight)
        assert auc(labels, scores, weight) == pytest.approx(expected, nan_ok=True)


def test_auc_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.random(5000) < 0.3, rng.integers(0, 50, 5000).astype(np.float32)
    weights = rng.random(5000)
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert auc(labels, scores, weights) == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights))


@given(rows)
def test_group_auc_is_the_mean_of_users_weighted_by_rows(some: Rows) -> None:
    users, labels, scores, _ = columns(some)
    expected = {}
    for user in np.unique(users):
        own = users == user
        value = pair_wins(labels[own], scores[own], np.ones(own.sum()))
        if not math.isnan(value):
            expected[int(user)] = (value, float(own.sum()))
    found = group_auc(labels, scores, users)
    assert found.users.tolist() == list(expected)
    assert found.values == pytest.approx(np.array([value for value, _ in expected.values()]))
    total = sum(weight for _, weight in expected.values())
    mean = sum(value * weight for value, weight in expected.values()) / total if total else math.nan
    assert found.mean == pytest.approx(mean, nan_ok=True)


def test_log_loss_is_scikit_learns_and_stays_finite() -> None:
    rng = np.random.default_rng(0)
    labels, p = rng.random(1000) < 0.3, rng.random(1000)
    assert log_losses(labels, p).mean() == pytest.approx(log_loss(labels, p))
    assert log_losses(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx([-math.log(1e-7)] * 2)


@given(rows, st.integers(1, 6))
def test_calibration_error_is_the_mean_gap_of_bins(some: Rows, bins: int) -> None:
    _, labels, scores, _ = columns(some)
    p = (scores.astype(np.float64) + 3.37) / 7  # never at the edge of a bin
    error = 0.0
    for place in range(bins):
        own = (p >= place / bins) & (p < (place + 1) / bins)
        if own.any():
            error += own.mean() * abs(p[own].mean() - labels[own].mean(dtype=np.float64))
    found = reliability(labels, p, bins)
    assert found.error == pytest.approx(error)
    assert found.counts.sum() == len(labels)


def test_probabilities_that_hold_have_a_small_error() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(200_000)
    labels = rng.random(200_000) < p
    assert reliability(labels, p).error < 0.01
    assert reliability(labels, p**3).error == pytest.approx(0.25, abs=0.01)
    assert math.isnan(reliability(labels[:0], p[:0]).error)
    assert reliability(np.ones(2), np.ones(2)).counts[-1] == 2


distinct = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=25)


@given(distinct, st.randoms(use_true_random=False), st.integers(1, 6))
def test_lists_are_those_of_users_with_both_kinds(
    some: list[tuple[int, bool]], random: object, k: int
) -> None:
    users, labels = (np.array(column) for column in zip(*some, strict=True))
    scores = np.array(random.sample(range(100), len(some)), dtype=np.float32)  # type: ignore[attr-defined]
    expected = {}
    for user in np.unique(users):
        own = users == user
        if 0 < labels[own].sum() < own.sum():
            best = labels[own][np.argsort(-scores[own])][:k]
            n = min(k, int(own.sum()))
            expected[int(user)] = best.sum() / n, ndcg_score([labels[own]], [scores[own]], k=k)
    found = list_metrics(labels, scores, users, (k,))
    for number, name in enumerate((f"precision@{k}", f"ndcg@{k}")):
        assert found[name].users.tolist() == list(expected)
        assert found[name].values == pytest.approx(np.array([pair[number] for pair in expected.values()]))


def test_a_model_that_says_nothing_gains_nothing_from_the_order_of_rows() -> None:
    users = np.repeat(np.arange(2000), 10)
    labels = np.tile([1.0] + [0.0] * 9, 2000)
    found = list_metrics(labels, np.zeros(20_000, np.float32), users, (1, 5))
    assert found["precision@1"].mean == pytest.approx(0.1, abs=0.02)
    again = list_metrics(labels, np.zeros(20_000, np.float32), users, (1, 5))
    assert np.array_equal(again["ndcg@5"].values, found["ndcg@5"].values)


def test_figures_of_validation_are_of_the_models_own_probabilities() -> None:
    rng = np.random.default_rng(0)
    labels, users, logits = rng.random(500) < 0.4, rng.integers(0, 20, 500), rng.normal(size=500)
    found = validation_figures(labels, users, logits)
    assert found["auc"] == pytest.approx(roc_auc_score(labels, logits))
    assert found["gauc"] == pytest.approx(group_auc(labels, logits, users).mean)
    assert found["logloss"] == pytest.approx(log_loss(labels, 1 / (1 + np.exp(-logits))))


def test_bins_are_counted_from_one() -> None:
    with pytest.raises(ConfigError, match=r"evaluate\.bins"):
        reliability(np.ones(1), np.ones(1), 0)
