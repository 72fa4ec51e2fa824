"""The ranking benchmark: it runs without any rival, says what differs, and its ground is the same for everyone."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
RIVALS = ["torch_rechub", "deepctr_torch"]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script as a module, as if no rival were installed; threads are put back."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    for name in RIVALS:
        monkeypatch.setitem(sys.modules, name, None)
    before = torch.get_num_threads()
    import benchmark_ranking

    yield benchmark_ranking
    torch.set_num_threads(before)
    for name in [name for name in sys.modules if name.partition(".")[0] in {"rivals", "benchmark_ranking"}]:
        del sys.modules[name]


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A command line on synthetic ratings."""
    line = ["benchmark", "--tiny", "--repeats", "1", "--dataset-folder", str(tmp_path / "nothing")]
    monkeypatch.setattr(sys, "argv", line)
    return line


def test_it_runs_without_any_rival_and_names_it(
    benchmark: ModuleType, line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark.main() == 0
    out = capsys.readouterr().out
    assert re.search(r"^torch-rechub is left out \(.*\); pip install torch-rechub$", out, re.MULTILINE)
    assert len(re.findall(r"^DeepFm .*1\.00 x", out, re.MULTILINE)) == 2
    assert len(re.findall(r"^Din .*1\.00 x", out, re.MULTILINE)) == 2
    assert "synthetic ratings" in out


def test_models_that_differ_are_an_error(
    benchmark: ModuleType,
    line: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line.append("--parity")
    assert benchmark.main() == 0
    assert "deepctr-torch is left out" in capsys.readouterr().out

    class Rival:
        @staticmethod
        def parity(world: object) -> dict[str, float]:
            return {"same": 1e-7, "other": 1e-3}

    monkeypatch.setattr(benchmark, "load", lambda module, package: Rival)
    assert benchmark.main() == 1
    out = capsys.readouterr().out
    assert re.search(r"same +1\.0e-07 +equal", out)
    assert re.search(r"other +1\.0e-03 +DIFFERENT", out)


def test_a_bug_of_ours_is_not_taken_for_a_missing_rival(benchmark: ModuleType) -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        benchmark.load("no_such_module", "nothing")


def test_without_batch_norm_leaves_the_rest(benchmark: ModuleType) -> None:
    contest = sys.modules["rivals.rank_contest"]
    inner = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.ReLU())
    found = contest.without_batch_norm(torch.nn.Sequential(inner, torch.nn.Linear(3, 1)))
    kinds = [type(module).__name__ for module in found.modules()]
    assert kinds == ["Sequential", "Sequential", "Linear", "Identity", "ReLU", "Linear"]


def test_the_largest_difference_is_between_probabilities(benchmark: ModuleType) -> None:
    contest = sys.modules["rivals.rank_contest"]
    logits = torch.tensor([0.0, 2.0])
    ours, theirs = (lambda batch: logits), (lambda batch: torch.tensor([0.5, 0.5]))
    assert contest.largest_difference(ours, theirs, {}) == pytest.approx(float(logits[1].sigmoid()) - 0.5)
