"""A world with a trained tokenizer and decoder, made once; tests work on copies."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from scripts_in_child import run
from tiny_world import make_world

Copy = Callable[[], Path]


@pytest.fixture(scope="session")
def trained_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Never changed: RQ-VAE ids in `out/custom/tokenizer`, a model in `out/custom/decoder`."""
    folder = make_world(tmp_path_factory.mktemp("world"))
    for script, leaf in (("train_rqvae.py", "rqvae.gin"), ("train_decoder.py", "decoder.gin")):
        outcome = run(script, leaf, folder=folder)
        assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture
def trained(trained_world: Path, tmp_path: Path) -> Path:
    """A copy of the trained world."""
    return Path(shutil.copytree(trained_world, tmp_path / "world"))


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A world in which nothing was trained."""
    return make_world(tmp_path / "world")
