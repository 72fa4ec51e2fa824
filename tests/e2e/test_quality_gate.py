"""The gate as the last step of a pipeline: its exit code says whether to go on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scripts_in_child import Outcome, run

GOOD = {"precision@10": 0.02, "hitrate@10": 0.2, "coverage@10": 0.4, "users": 943.0}


@pytest.fixture
def figures(tmp_path: Path) -> Path:
    path = tmp_path / "out/ml100k/recall/metrics.json"
    path.parent.mkdir(parents=True)
    write(path, GOOD)
    return path


def write(path: Path, figures: dict[str, float]) -> None:
    path.write_text(json.dumps({f"test/generative/masked/{name}": one for name, one in figures.items()}))


def gate(folder: Path, *arguments: str) -> Outcome:
    return run("experiments/quality_gate.py", *arguments, folder=folder)


def test_good_figures_open_the_gate(figures: Path, tmp_path: Path) -> None:
    done = gate(tmp_path)
    assert done.code == 0, done.err
    assert "the gate is open" in done.out
    assert done.out.count("passed") == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hitrate@10": 0.05}, "hitrate@10 is below 0.1"),
        ({"precision@10": float("nan")}, "precision@10 is nan"),
        ({"users": 9}, "users is below 10"),
    ],
)
def test_a_bad_figure_closes_it(change: dict[str, float], said: str, figures: Path, tmp_path: Path) -> None:
    write(figures, GOOD | change)
    done = gate(tmp_path)
    assert done.code == 1, done.err
    assert said in done.out
    assert "1 of 4 failed" in done.out


def test_a_missing_figure_closes_it(figures: Path, tmp_path: Path) -> None:
    write(figures, {name: one for name, one in GOOD.items() if name != "coverage@10"})
    done = gate(tmp_path)
    assert done.code == 1, done.err
    assert "coverage@10 is missing" in done.out


def test_thresholds_and_file_are_bindings(figures: Path, tmp_path: Path) -> None:
    elsewhere = figures.rename(tmp_path / "mine.json")
    strict = "quality_gate.thresholds = {'hitrate@10': 0.3}"
    done = gate(tmp_path, strict, "--metrics-path", str(elsewhere))
    assert done.code == 1, done.err
    assert "1 of 1 failed" in done.out


def test_nothing_to_judge_is_refused(figures: Path, tmp_path: Path) -> None:
    assert "can be test/generative/masked" in gate(tmp_path, "--method", "hybrid").refusal
    assert "quality_gate.thresholds" in gate(tmp_path, "quality_gate.thresholds = {'a': 'b'}").refusal
    figures.unlink()
    assert "out/ml100k/recall/metrics.json does not exist" in gate(tmp_path).refusal
