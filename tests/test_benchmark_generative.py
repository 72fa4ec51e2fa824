"""The benchmark against other packages: its ground, its clocks, and that it runs without any of them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
RIVALS = ["transformers", "cornac", "rectokens", "vector_quantize_pytorch", "semantic_id"]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script as a module; threads and precision are put back."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    import benchmark_generative

    yield benchmark_generative
    torch.set_num_threads(before[0])
    torch.set_float32_matmul_precision(before[1])
    for name in [
        name for name in sys.modules if name.partition(".")[0] in {"rivals", "benchmark_generative"}
    ]:
        del sys.modules[name]


@pytest.fixture
def world(benchmark: ModuleType, tmp_path: Path):
    return benchmark.World(benchmark.TINY, tmp_path / "nothing")


def test_it_runs_without_any_rival_and_names_each(
    benchmark: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    for name in RIVALS:
        monkeypatch.setitem(sys.modules, name, None)  # importing it fails as if it were not there
    line = ["benchmark", "--tiny", "--repeats", "1", "--dataset-folder", str(tmp_path / "nothing")]
    monkeypatch.setattr(sys, "argv", line)
    benchmark.main()
    out = capsys.readouterr().out
    for packages in benchmark.RIVALS.values():
        assert re.search(rf"^.* is left out \(.*\); pip install {re.escape(packages)}$", out, re.MULTILINE)
    for row in ("timeline ", "tiger ", "genrec tree ", "RqVae ", "RqKMeans "):
        assert re.search(rf"^{row}.*1\.00 x", out, re.MULTILINE)
    assert "target: timeline at least 65 x as fast as tiger:" in out
    assert "transformers T5" not in out.partition("users, ")[2]


def test_a_bug_of_ours_is_not_taken_for_a_missing_rival(benchmark: ModuleType) -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        benchmark.load("no_such_module", "nothing")


def test_jobs_take_turns_and_the_median_is_per_unit_of_work(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, calls = [0.0], []

    def job(name: str, work: float, seconds: list[float]):
        left = iter(seconds)

        def run() -> str:
            calls.append(name)
            now[0] += next(left)
            return name

        return benchmark.Job(name, run, work, quality=lambda outcome: f"made by {outcome}")

    class Clock:
        perf_counter = staticmethod(lambda: now[0])
        process_time = staticmethod(lambda: now[0] / 2)

    monkeypatch.setattr(sys.modules["rivals.contest"], "time", Clock)
    first, second = benchmark.measure([job("a", 1, [99, 1, 2, 30]), job("b", 4, [99, 8, 4, 12])], repeats=3)
    assert calls == ["a", "b"] * 4
    assert (first.wall, first.cpu) == (2, 1)
    assert (second.wall, second.cpu) == (2, 1)
    assert [first.quality, second.quality] == ["made by a", "made by b"]


def test_targets_are_judged_by_both_clocks(benchmark: ModuleType) -> None:
    def result(name: str, wall: float, cpu: float):
        return sys.modules["rivals.contest"].Result(benchmark.Job(name, lambda: None, 1), wall, cpu)

    ours, theirs = result("timeline", 2.0, 1.0), result("tiger", 140.0, 60.0)
    assert benchmark.verdicts("training", [ours, theirs]) == [
        "target: timeline at least 65 x as fast as tiger: 70.0 x on the wall, 60.0 x by processor time"
    ]
    assert benchmark.verdicts("training", [ours]) == benchmark.verdicts("walk", [ours, theirs]) == []


@pytest.mark.parametrize("bucketed", [True, False])
def test_examples_are_the_same_for_everyone(world, bucketed: bool) -> None:
    histories = world.histories
    batches = world.batches(bucketed=bucketed, count=3)
    for batch in batches:
        length = (batch.history >= 0).sum(1)
        assert length.min() >= 1
        assert length.max() <= world.sizes.history
        assert torch.equal(batch.first, length)
        rows = torch.arange(len(length))
        assert torch.equal(batch.window.items[rows, batch.first], batch.target)
        assert torch.equal(batch.window.items[:, :-1] * (batch.history >= 0), batch.history.clamp_min(0))
        for user, items, size in zip(batch.users, batch.window.items, length, strict=True):
            own, slice_ = histories[int(user)], items[: int(size) + 1].numpy()
            assert any(np.array_equal(own[i : i + len(slice_)], slice_) for i in range(len(own)))
    spread = [int(np.ptp((batch.history >= 0).sum(1).numpy())) for batch in batches]
    assert not bucketed or max(spread) <= 1


def test_bucketed_batches_cover_all_lengths(benchmark: ModuleType, tmp_path: Path) -> None:
    world = benchmark.World(replace(benchmark.TINY, users=400, history=20, rows=32), tmp_path / "nothing")
    means = [float((b.history >= 0).sum(1).float().mean()) for b in world.batches(bucketed=True, count=6)]
    assert means == sorted(means)
    random = [float((b.history >= 0).sum(1).float().mean()) for b in world.batches(bucketed=False, count=20)]
    assert np.mean(means) == pytest.approx(np.mean(random), rel=0.2)


def test_ids_are_distinct_and_uneven(benchmark: ModuleType, tmp_path: Path) -> None:
    sizes = replace(benchmark.TINY, items=500, codes=16)
    codes = benchmark.World(sizes, tmp_path / "nothing").codes
    assert len(torch.unique(codes, dim=0)) == len(codes) == 500
    counts = torch.bincount(codes[:, 0], minlength=16)
    assert counts.max() > 3 * counts.min()


def test_error_left_is_of_the_variance(benchmark: ModuleType) -> None:
    error_left = sys.modules["rivals.contest"].error_left
    vectors = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
    assert error_left(vectors, []) == "error 1.000"
    assert error_left(vectors, [vectors]) == "error 0.000"
    halves = torch.tensor([[0.0, 2.0], [0.0, -2.0], [0.0, 0.0]])
    assert error_left(vectors, [halves]) == "error 0.200"


def test_transformers_reads_the_history_and_generates_items_only(world) -> None:
    from rivals import hf_t5

    ids, mask = hf_t5.tokens(world, torch.tensor([[3, 5, -1], [7, -1, -1]]), torch.tensor([1, 2]))
    assert mask.sum(1).tolist() == [1 + 2 * world.sizes.levels, 1 + world.sizes.levels]
    assert torch.equal(ids[0, 1 : 1 + world.sizes.levels], hf_t5.targets(world, torch.tensor(3)))
    (job,) = hf_t5.generation(world)
    found = job.run()[:, 1:]  # without the start token
    catalogue = {tuple(row) for row in hf_t5.targets(world, torch.arange(len(world.codes))).tolist()}
    assert {tuple(row) for row in found.tolist()} <= catalogue
    assert len(found) == world.sizes.requests * world.sizes.beams
