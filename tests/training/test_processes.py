"""Several processes end where one does, whoever computes which row."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from shared_job import side_by_side

from genrec.training.processes import Processes, seed_generators


def folder_of(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


def result(folder: Path, rank: int) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / f"result-{rank}.json").read_text())
    return loaded


def curve(folder: Path) -> list[dict[str, float]]:
    """Everything that was logged, but for times."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "time"} for row in rows]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    assert side_by_side(1, folder) == [0]
    return folder


@pytest.mark.parametrize("size", [2, 4])
def test_several_processes_end_where_one_does(alone: Path, tmp_path: Path, size: int) -> None:
    assert side_by_side(size, tmp_path) == [0] * size
    one = result(alone, 0)
    assert one["stopped"], "early stopping should be part of what is compared"
    weights = [load_file(tmp_path / f"weights-{rank}.safetensors") for rank in range(size)]
    for rank in range(size):
        many = result(tmp_path, rank)
        assert [many[name] for name in ("step", "best", "stopped")] == [
            one[name] for name in ("step", "best", "stopped")
        ]
        assert many["value"] == pytest.approx(one["value"], rel=1e-4)
        assert many["sum"] == [0.1 * (i % size + 1) for i in range(5)]
        assert all(torch.equal(weights[rank][name], weights[0][name]) for name in weights[0])
    for name, expected in load_file(alone / "weights-0.safetensors").items():
        torch.testing.assert_close(weights[0][name], expected, rtol=1e-4, atol=1e-5)
    for row, expected_row in zip(curve(tmp_path), curve(alone), strict=True):
        assert row == pytest.approx(expected_row, rel=1e-4)
    shares = [row["train/share"] for row in curve(tmp_path) if "train/share" in row]
    assert shares == pytest.approx([1.0] * len(shares))


def test_a_group_that_was_killed_ends_like_one_that_was_not(tmp_path: Path) -> None:
    whole, killed = folder_of(tmp_path, "whole"), folder_of(tmp_path, "killed")
    assert side_by_side(2, whole, 0.5) == [0, 0]
    assert side_by_side(2, killed, 0.5, 7) == [-signal.SIGKILL] * 2
    assert side_by_side(2, killed, 0.5) == [0, 0]
    for rank in range(2):
        expected, found = (load_file(folder / f"weights-{rank}.safetensors") for folder in (whole, killed))
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        assert result(killed, rank) == result(whole, rank)
    assert result(whole, 0)["drawn"] != result(whole, 1)["drawn"]
    assert curve(killed) == curve(whole)


def test_processes_draw_apart_and_again_the_same() -> None:
    def drawn(rank: int, step: int) -> list[float]:
        seed_generators(5)
        Processes(rank, 3).draw_apart(5, step)
        return [*torch.rand(2).tolist(), float(np.random.rand())]  # noqa: NPY002

    every = [drawn(rank, step) for rank in range(3) for step in range(3)]
    assert every[0] == every[1] == every[2], "the main process goes on with its own stream"
    assert len({tuple(one) for one in every}) == 7
    assert drawn(2, 1) == every[7]


def test_one_process_has_nothing_to_say() -> None:
    weight = torch.ones(2, requires_grad=True)
    weight.grad = torch.tensor([1.0, 2.0])
    processes = Processes()
    losses = {"loss": torch.tensor(3.0)}
    assert processes.sum_gradients([weight], losses) == losses
    assert weight.grad.tolist() == [1.0, 2.0]
    assert processes.from_main({"a": 1.0}) == {"a": 1.0}
    assert processes.sum(np.ones(2)).tolist() == [1.0, 1.0]
