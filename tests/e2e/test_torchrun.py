"""Two processes, started as the README says, end where one does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file
from scripts_in_child import ROOT, run
from tiny_world import N_USERS, make_world, manifest, walks

from genrec.data.load import load_dataset
from genrec.data.splits import LeaveOneOut
from genrec.evaluation.judge import BLOCK, Judge
from genrec.evaluation.protocol import evaluation_set
from genrec.generative.store import load_model
from genrec.recall.generative import recallers
from genrec.tokenizer.store import load_ids

WORLDS = 5  # copies of the users, so that both processes have some to judge


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world with more users, and a tokenizer that one process trained."""
    folder = make_world(tmp_path_factory.mktemp("crowd"))
    events = [
        walks(seed).assign(user_id=lambda one, seed=seed: one.user_id + seed * N_USERS)
        for seed in range(WORLDS)
    ]
    pd.concat(events).to_csv(folder / "data" / "interactions.csv", index=False)
    outcome = run("train_rqvae.py", "rqvae.gin", folder=folder)
    assert outcome.code == 0, outcome.err
    return folder


def torchrun(script: str, *arguments: str, folder: Path) -> str:
    """Run a script in two processes; what they print."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_addr=127.0.0.1"]
    done = subprocess.run(
        [*command, f"--master_port={port}", str(ROOT / script), *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def curves(folder: Path) -> list[dict[str, float]]:
    """What was logged, but for times."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    return [{name: value for name, value in row.items() if name != "time"} for row in rows]


def weights(folder: Path, name: str) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    path = folder / manifest(folder)["files"][name]["path"]
    return {name: tensor.numpy() for name, tensor in load_file(path).items()}


def assert_alike(one: Path, two: Path, name: str) -> None:
    assert len(curves(one)) > 2
    for row, expected in zip(curves(two), curves(one), strict=True):
        assert row == pytest.approx(expected, rel=1e-3, abs=1e-6)
    expected_weights = weights(one, name)
    for key, found in weights(two, name).items():
        np.testing.assert_allclose(found, expected_weights[key], rtol=1e-2, atol=1e-3)


def judged_alone(decoder: Path, world: Path) -> dict[str, float]:
    """The validation figures of a model, by this process."""
    data = load_dataset("custom", world / "data")
    split = LeaveOneOut()(data.interactions)
    model = load_model(decoder, load_ids(world / "out/custom/tokenizer", data.items))
    return Judge()(recallers(model, split.train, data.items, width=20), evaluation_set(split, "valid"))


def test_a_decoder(crowd: Path) -> None:
    assert N_USERS * WORLDS > 2 * BLOCK
    settings = ("timeline.Timeline.dropout = 0.0", "recipe.Recipe.ema = 0.9", "train.batch_tokens = 512")
    outcome = run("train_decoder.py", "decoder.gin", *settings, "--out", "one", folder=crowd)
    assert outcome.code == 0, outcome.err
    gin = [part for one in settings for part in ("--gin", one)]
    printed = torchrun("train_decoder.py", "decoder.gin", *gin, "--out", "two", folder=crowd)
    assert printed.count("generative model in two") == 1
    one, two = crowd / "one", crowd / "two"
    assert_alike(one, two, "model.safetensors")
    figures, expected = (json.loads((folder / "metrics.json").read_text("utf-8")) for folder in (two, one))
    del figures["time/train_seconds"], expected["time/train_seconds"]
    assert figures == pytest.approx(expected, abs=0.01)
    assert {
        f"valid/{name}": value for name, value in judged_alone(two, crowd).items()
    }.items() <= figures.items()
    assert len(list(two.iterdir())) == len(list(one.iterdir()))


def test_a_tokenizer(crowd: Path) -> None:
    printed = torchrun("train_rqvae.py", "rqvae.gin", "--out", "tokenizer-two", folder=crowd)
    assert printed.count("semantic ids of 40 items in tokenizer-two") == 1
    assert_alike(crowd / "out/custom/tokenizer", crowd / "tokenizer-two", "tokenizer.safetensors")
