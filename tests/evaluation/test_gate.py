from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from genrec.errors import ConfigError, DataError
from genrec.evaluation.comparison import Comparison, flat_metrics, write_metrics
from genrec.evaluation.gate import THRESHOLDS, check_figures, read_figures, text_table

GOOD = {
    "test/ease/masked/precision@10": 0.012,
    "test/ease/masked/hitrate@10": 0.12,
    "test/ease/masked/coverage@10": 0.3,
    "test/ease/masked/users": 943.0,
}


def failed(figures: dict[str, float]) -> list[str]:
    return [
        one.verdict for one in check_figures(figures, "test", "ease", "masked", THRESHOLDS) if not one.passed
    ]


def test_figures_at_their_threshold_pass() -> None:
    assert failed(GOOD) == []
    assert failed({f"test/ease/masked/{name}": least for name, least in THRESHOLDS.items()}) == []


@pytest.mark.parametrize("name", THRESHOLDS)
def test_each_figure_can_fail(name: str) -> None:
    key = f"test/ease/masked/{name}"
    low = THRESHOLDS[name] * 0.99
    assert failed(GOOD | {key: low}) == [f"FAILED: {key} is below {THRESHOLDS[name]:g}"]
    assert "is nan" in failed(GOOD | {key: math.nan})[0]
    assert "is inf" in failed(GOOD | {key: math.inf})[0]
    without = {other: value for other, value in GOOD.items() if other != key}
    assert failed(without) == [f"FAILED: {key} is missing; evaluate again so that it is measured"]


def test_other_parts_methods_and_maskings_are_not_read() -> None:
    checks = check_figures(
        GOOD | {"valid/ease/masked/ndcg@10": 0.5, "test/ease/unmasked/ndcg@10": 0.1},
        "test",
        "ease",
        "unmasked",
        {"ndcg@10": 0.2},
    )
    assert [(one.key, one.value, one.passed) for one in checks] == [
        ("test/ease/unmasked/ndcg@10", 0.1, False)
    ]


def test_the_table_says_why() -> None:
    checks = check_figures(GOOD | {"test/ease/masked/hitrate@10": 0.05}, "test", "ease", "masked", THRESHOLDS)
    lines = text_table(checks).splitlines()
    assert len(lines) == 5
    assert lines[2].split() == [
        "test/ease/masked/hitrate@10",
        "0.05",
        "0.1",
        "FAILED:",
        "test/ease/masked/hitrate@10",
        "is",
        "below",
        "0.1",
    ]
    assert [line.endswith("passed") for line in lines[1:]] == [True, False, True, True]


def test_what_was_not_judged_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no figures of test/eas/masked; .* can be test/ease/masked$"):
        check_figures(GOOD, "test", "eas", "masked", THRESHOLDS)
    with pytest.raises(ConfigError, match="nothing in this file"):
        check_figures({"time/fit/ease": 1.0}, "test", "ease", "masked", THRESHOLDS)


@pytest.mark.parametrize("thresholds", [{}, {"ndcg@10": math.nan}])
def test_thresholds_are_checked(thresholds: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"quality_gate\.thresholds"):
        check_figures(GOOD, "test", "ease", "masked", thresholds)


def test_reads_what_the_comparison_writes(comparison: Comparison, tmp_path: Path) -> None:
    figures = read_figures(write_metrics(tmp_path, flat_metrics(comparison)))
    checks = check_figures(figures, "test", "ease", "masked", THRESHOLDS)
    summary = next(e for e in comparison.of(True) if e.method == "ease").summary
    assert [one.value for one in checks] == [summary[name] for name in THRESHOLDS]
    assert checks[-1].value == 60


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[1]", "is not an object of figures"),
        (json.dumps({"a": "high"}), "other than a number for 'a'"),
        (json.dumps({"a": True}), "other than a number for 'a'"),
    ],
)
def test_a_broken_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    with pytest.raises(DataError, match="does not exist"):
        read_figures(path)
    path.write_text(text, "utf-8")
    with pytest.raises(DataError, match=message):
        read_figures(path)
