"""The benchmark of large data, on a small release: what it generates can be read, and each of its models is judged."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from genrec.data.load import load_dataset

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
RATINGS = 4000


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script as a module, with few users and movies; torch's number of threads is put back."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    threads = torch.get_num_threads()
    import benchmark_ingest
    import benchmark_scale

    for name, value in (("USERS", 200), ("MOVIES", 300), ("LAST_MOVIE_ID", 900)):
        monkeypatch.setattr(benchmark_ingest, name, value)
    yield benchmark_scale
    torch.set_num_threads(threads)
    for name in ("benchmark_scale", "benchmark_ingest"):
        del sys.modules[name]


@pytest.fixture
def release(benchmark: ModuleType, tmp_path: Path) -> Path:
    """Its folder."""
    benchmark.generate(tmp_path, RATINGS, np.random.default_rng(0))
    return tmp_path


def test_the_release_has_as_many_ratings_as_wanted_and_no_pair_twice(
    benchmark: ModuleType, release: Path
) -> None:
    events = load_dataset(benchmark.DATASET, release).interactions
    assert len(events) == RATINGS
    assert len(np.unique(events.users.astype(np.int64) * events.n_items + events.items)) == RATINGS


@pytest.mark.parametrize("name", ["popularity", "itemcf", "als"])
def test_a_model_is_fitted_and_judged(
    benchmark: ModuleType,
    release: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["benchmark_scale.py", "--one", name, "--out", str(release), "--users", "50"]
    )
    benchmark.main()
    line = capsys.readouterr().out
    found = re.fullmatch(
        rf"{name} +([\d.]+) s +([\d.]+) s +([\d.]+) s +([\d.]+) ms +([\d.]+) GB +([\d.]+)\n", line
    )
    assert found, line
    ndcg = float(found[6])
    assert 0 < ndcg < 1  # popular movies are taken more often, so that nobody finds nothing
