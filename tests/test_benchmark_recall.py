"""The benchmark of classic recall: what it compares with is right, and it runs with and without `implicit`."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from genrec.recall.ease import ease_weights

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script as a module; torch's number of threads is put back."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    threads = torch.get_num_threads()
    import benchmark_recall

    yield benchmark_recall
    torch.set_num_threads(threads)
    for name in [name for name in sys.modules if name.partition(".")[0] in {"rivals", "benchmark_recall"}]:
        del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty users with eight of thirty items each."""
    rng = np.random.default_rng(0)
    items = np.concatenate([rng.permutation(30)[:8] for _ in range(40)])
    events = {"user_id": np.repeat(np.arange(40), 8), "item_id": items, "timestamp": np.arange(320)}
    pd.DataFrame(events).to_csv(tmp_path / "interactions.csv", index=False)
    named = {
        "item_id": np.arange(30),
        "title": [f"Item {n}" for n in range(30)],
        "genres": "Some",
        "text": "",
    }
    pd.DataFrame(named).to_csv(tmp_path / "items.csv", index=False)
    return tmp_path


@pytest.mark.parametrize("installed", [True, False])
def test_every_section_is_printed(
    benchmark: ModuleType,
    folder: Path,
    installed: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not installed:
        monkeypatch.setitem(sys.modules, "implicit.nearest_neighbours", None)
    monkeypatch.setattr(benchmark, "WALKS", 50)
    monkeypatch.setattr(benchmark, "LOOPED", 20)
    line = ["benchmark", "--dataset", "custom", "--dataset-folder", str(folder), "--repeats", "1"]
    monkeypatch.setattr(sys, "argv", line)
    benchmark.main()
    out = capsys.readouterr().out
    for row in ("Ease", "numpy, float64", "random_walks", "Python loop"):
        assert re.search(rf"^{row} .* x ", out, re.MULTILINE)
    assert len(re.findall("^target: .*", out, re.MULTILINE)) == 2
    assert len(re.findall("^implicit .* x ", out, re.MULTILINE)) == (2 if installed else 0)
    assert ("left out" in out) == (not installed)


def test_plain_ease_gives_the_same_weights(benchmark: ModuleType) -> None:
    full = (np.random.default_rng(0).random((50, 20)) < 0.3).astype(np.float32)
    plain = benchmark.plain_ease(sp.csr_matrix(full))
    np.testing.assert_allclose(ease_weights(sp.csr_array(full), benchmark.L2), plain, atol=1e-6)


def test_looped_walks_follow_edges(benchmark: ModuleType) -> None:
    neighbours = [[2, 3], [3], [0], [0, 1]]
    walks = benchmark.looped_walks(neighbours, [0, 1], 6, random.Random(0))
    assert [(walk[0], len(walk)) for walk in walks] == [(0, 6), (1, 6)]
    for walk in walks:
        assert all(after in neighbours[before] for before, after in pairwise(walk))
