"""Rankers side by side: figures equal those of the metrics, intervals are paired, and the page says what they are."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from genrec.errors import ConfigError, DataError
from genrec.evaluation.ranking_comparison import Judged, Scored, compare_rankers
from genrec.evaluation.ranking_metrics import auc, group_auc, list_metrics, log_losses, reliability
from genrec.evaluation.ranking_report import flat_ranking_metrics, ranking_text_table, write_ranking_report

USERS, EACH = 80, 12


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


@pytest.fixture(scope="module")
def rows() -> Judged:
    """Labels that follow σ(taste of the user + a known signal)."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(USERS) * 3 + 5, EACH)
    labels = rng.random(len(users)) < sigmoid(signal() + np.repeat(rng.normal(size=USERS), EACH))
    order = rng.permutation(len(users))
    return Judged(users[order], labels.astype(np.float32)[order], ks=(3,))


def signal() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 1.5, USERS * EACH)


@pytest.fixture(scope="module")
def scored() -> dict[str, Scored]:
    rng = np.random.default_rng(2)
    noise = rng.normal(size=USERS * EACH).astype(np.float32)
    return {
        "noise": Scored(noise, sigmoid(noise.astype(float)), 2.0),
        "slight": Scored(0.01 * noise, np.full(len(noise), 0.5), 0.5),
    }


def test_every_figure_is_that_of_its_metric(rows: Judged, scored: dict[str, Scored]) -> None:
    found = compare_rankers(rows, scored, n=50)
    assert found.metrics == ("auc", "ece", "gauc", "logloss", "precision@3", "ndcg@3")
    for name, one in scored.items():
        lists = list_metrics(rows.labels, one.scores, rows.users, (3,), seed=0)
        expected = {
            "auc": auc(rows.labels, one.scores),
            "ece": reliability(rows.labels, one.probabilities).error,
            "gauc": group_auc(rows.labels, one.scores, rows.users).mean,
            "logloss": log_losses(rows.labels, one.probabilities).mean(),
            **{metric: by_user.mean for metric, by_user in lists.items()},
        }
        own = found.figures[name]
        assert {metric: own[metric].mean for metric in own} == pytest.approx(expected)
        rest = [own[metric] for metric in own if metric != "ece"]  # which resampling raises
        assert all(one.low - 1e-9 <= one.mean <= one.high + 1e-9 for one in rest)
    assert (found.rows, found.users, found.reference) == (USERS * EACH, USERS, "noise")


def test_intervals_are_over_users_not_rows() -> None:
    users = np.repeat(np.arange(40), 50)
    rng = np.random.default_rng(0)
    by_user = rng.random(40)
    labels = (rng.random(2000) < np.repeat(by_user, 50)).astype(np.float32)  # alike within a user
    told = Scored(np.zeros(2000, np.float32), np.full(2000, 0.5))
    own = compare_rankers(Judged(users, labels), {"half": told}, n=300).figures["half"]
    one_sided = compare_rankers(
        Judged(users, labels), {"half": Scored(told.scores, np.full(2000, 0.6))}, n=300
    ).figures["half"]["logloss"]
    assert own["logloss"].mean == pytest.approx(math.log(2))
    over_users = np.std(by_user) / math.sqrt(40) * abs(math.log(0.6 / 0.4))
    assert (one_sided.high - one_sided.low) / 3.92 == pytest.approx(over_users, rel=0.25)


def test_a_ranker_does_not_differ_from_its_copy(rows: Judged, scored: dict[str, Scored]) -> None:
    noise = scored["noise"]
    found = compare_rankers(rows, {"noise": noise, "copy": noise}, n=50, reference="copy")
    for interval in found.differences["noise"].values():
        assert (interval.mean, interval.low, interval.high) == (0, 0, 0)
    assert "copy" not in found.differences


def test_a_ranker_that_knows_is_told_from_one_that_does_not(rows: Judged, scored: dict[str, Scored]) -> None:
    knowing = Scored(rows.labels, np.clip(rows.labels, 0.1, 0.9))
    found = compare_rankers(rows, {**scored, "knowing": knowing}, n=200)
    apart = found.differences["knowing"]
    assert apart["auc"].low > 0.3
    assert apart["logloss"].high < 0
    assert found.figures["knowing"]["auc"].mean == 1
    assert found.figures["knowing"]["ndcg@3"].low == 1


def test_the_same_draws_give_the_same_figures(rows: Judged, scored: dict[str, Scored]) -> None:
    one, other = (compare_rankers(rows, scored, n=40, seed=5) for _ in range(2))
    assert one.figures == other.figures
    assert compare_rankers(rows, scored, n=40, seed=6).figures != one.figures


def test_files_hold_every_figure(tmp_path: Path, rows: Judged, scored: dict[str, Scored]) -> None:
    parts = [compare_rankers(rows, scored, part=part, n=50) for part in ("valid", "test")]
    page = write_ranking_report(tmp_path, parts, "Ranking <here>", {"Split": "by time"})
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    own = parts[1].figures["slight"]["gauc"]
    assert metrics["test/slight/gauc"] == pytest.approx(own.mean)
    assert metrics["valid/slight/gauc/low"] == pytest.approx(own.low)
    assert metrics["test/slight/auc/minus_noise/high"] == pytest.approx(
        parts[1].differences["slight"]["auc"].high
    )
    assert metrics["time/test/slight/rows_per_second"] == pytest.approx(USERS * EACH / 0.5)
    text = page.read_text("utf-8")
    assert "Ranking &lt;here&gt;" in text
    assert "Rankers on valid" in text
    assert text.index("Rankers on test") < text.rindex("Minus noise")
    assert f"{own.mean:.4f}" in text
    flat = flat_ranking_metrics(parts[1])
    assert all(key.startswith(("test/", "time/test/")) for key in flat)


def test_the_table_is_in_order_of_auc(rows: Judged, scored: dict[str, Scored]) -> None:
    found = compare_rankers(rows, {**scored, "knowing": Scored(rows.labels, rows.labels)}, n=20)
    lines = ranking_text_table(found).splitlines()
    assert lines[0].split()[:3] == ["ranker", "auc", "ece"]
    assert lines[1].startswith("knowing")
    assert len(lines) == 4


def test_lower_is_better_is_coloured_so(rows: Judged, scored: dict[str, Scored], tmp_path: Path) -> None:
    knowing = Scored(rows.labels, np.clip(rows.labels, 0.1, 0.9))
    worse = Scored(-rows.labels, 1 - np.clip(rows.labels, 0.1, 0.9))
    found = compare_rankers(rows, {"slight": scored["slight"], "knowing": knowing, "worse": worse}, n=50)
    text = write_ranking_report(tmp_path, [found], "t", {}).read_text("utf-8")
    for name, tone in (("knowing", "good"), ("worse", "bad")):
        row = text.split("Minus slight", 1)[1].split(f">{name}<", 1)[1].split("</tr>", 1)[0]
        assert row.count(f'"{tone}"') + row.count(f" {tone}") >= 4


def test_what_cannot_be_compared_is_refused(rows: Judged, scored: dict[str, Scored]) -> None:
    with pytest.raises(
        ConfigError, match=r"evaluate\.reference is 'best', but the rankers are noise, slight"
    ):
        compare_rankers(rows, scored, reference="best")
    with pytest.raises(ConfigError, match="none"):
        compare_rankers(rows, {})
    with pytest.raises(DataError, match="3 of 3 rows are good"):
        Judged(np.arange(3), np.ones(3))
