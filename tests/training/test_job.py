"""A job writes the configuration when it is known, resumes what is its own, and refuses what is not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from small_job import SETTINGS, SmallTask

from genrec.artifacts import save_artifact
from genrec.errors import ArtifactError
from genrec.training.job import Job
from genrec.training.runtime import Runtime

QUIET = dataclasses.replace(SETTINGS, steps=4, patience=None)


def job(folder: Path, identity: str | None = "this") -> Job:
    runtime = Runtime(seed=3, cpu=True)
    runtime.seed_everything()
    return Job(
        folder,
        name="small",
        identity=identity,
        runtime=runtime,
        wandb=False,
        configuration="all = 1\n",
        operative=lambda: "used = 1\n",
    )


def trained(one: Job) -> SmallTask:
    task = SmallTask()
    one.train(task, torch.optim.AdamW(task.model.parameters()), QUIET)
    return task


def test_both_configurations_are_written(tmp_path: Path) -> None:
    one = job(tmp_path)
    assert (tmp_path / "config-full.gin").read_text() == "all = 1\n"
    assert not (tmp_path / "config-operative.gin").exists()
    trained(one)
    assert (tmp_path / "config-operative.gin").read_text() == "used = 1\n"


def test_a_finished_job_trains_no_further(tmp_path: Path) -> None:
    first = trained(job(tmp_path)).model.state_dict()
    lines = (tmp_path / "metrics.jsonl").read_text()
    second = trained(job(tmp_path)).model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (tmp_path / "metrics.jsonl").read_text() == lines


def test_another_identity_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    trained(job(tmp_path))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ArtifactError, match="another configuration"):
        job(tmp_path, "that")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_job_without_training_ignores_checkpoints(tmp_path: Path) -> None:
    trained(job(tmp_path))
    job(tmp_path, identity=None)
    assert (tmp_path / "metrics.jsonl").read_text() == ""  # it starts anew instead of resuming


def test_the_end_hands_over_the_figures(tmp_path: Path) -> None:
    one = job(tmp_path, identity=None)
    save_artifact(tmp_path, kind="thing", payload={"a.json": "1"}, config="used = 1\n")
    one.finish({"size": 3.0}, "a-thing", "thing")
    assert json.loads((tmp_path / "thing-figures.json").read_text())["rows"] == [["size", 3.0]]
