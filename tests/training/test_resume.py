"""A run that is killed with SIGKILL anywhere, any number of times, ends like one that was not."""

from __future__ import annotations

import json
import multiprocessing
import random
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_job import train_until_killed

from genrec.training.checkpoint import Checkpoints


def run_child(folder: Path, moment: int | None) -> bool:
    """Whether the run came to its end; otherwise it was killed at the moment it was told to."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["genrec.training.loop", "torch._dynamo"])  # slow imports, only once
    child = context.Process(target=train_until_killed, args=(folder, moment))
    child.start()
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode == 0


def outcome(folder: Path) -> dict[str, Any]:
    """Everything a run leaves, but for times."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    progress = Checkpoints(folder).progress("last")
    assert progress is not None
    return {
        "weights": (folder / "final.safetensors").read_bytes(),
        "metrics": [{name: value for name, value in row.items() if name != "time"} for row in rows],
        "progress": {name: value for name, value in progress.items() if name != "seconds"},
    }


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert run_child(folder, None)
    return folder


@pytest.mark.parametrize("seed", range(6))
def test_killed_several_times_it_ends_the_same(uninterrupted: Path, tmp_path: Path, seed: int) -> None:
    moments = random.Random(seed)
    kills = 0
    while not run_child(tmp_path, moments.randrange(3, 20)):
        kills += 1
    assert kills > 0
    assert outcome(tmp_path) == outcome(uninterrupted)
    last, same = (load_file(folder / "last.safetensors") for folder in (tmp_path, uninterrupted))
    assert last.keys() == same.keys()
    assert all(torch.equal(last[name], same[name]) for name in same)


def test_killed_once_at_every_moment_it_ends_the_same(uninterrupted: Path, tmp_path: Path) -> None:
    expected = outcome(uninterrupted)
    moment, killed = 0, True
    while killed:
        folder = tmp_path / str(moment)
        folder.mkdir()
        killed = not run_child(folder, moment)
        if killed:
            assert run_child(folder, None)
        assert outcome(folder) == expected
        assert not list(folder.glob(".*")), "a half-written file was left"
        moment += 1
    assert moment > 20
