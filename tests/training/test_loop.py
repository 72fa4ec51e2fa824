from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_job import SETTINGS, SmallTask, train
from torch import Tensor

from genrec.errors import ArtifactError, ConfigError, GenrecError
from genrec.training.checkpoint import Checkpoints
from genrec.training.loop import resume_step, run
from genrec.training.means import Means
from genrec.training.progress import Progress
from genrec.training.runtime import Runtime
from genrec.training.settings import LoopSettings
from genrec.training.trackers import JsonlTracker, Trackers


class Recorder(JsonlTracker):
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []

    def log(self, metrics: Any, step: int) -> None:
        self.rows.append((step, dict(metrics)))


class Scripted(SmallTask):
    """Validation figures as written down beforehand."""

    def __init__(self, figures: list[float]) -> None:
        super().__init__()
        self.figures = iter(figures)

    def validate(self) -> dict[str, float]:
        assert not self.model.training
        assert not torch.is_grad_enabled()
        return {"fit": next(self.figures)}


class Exploding(SmallTask):
    def loss(self, step: int) -> dict[str, Tensor]:
        scale = math.nan if step == 5 else 1.0
        return {name: value * scale for name, value in super().loss(step).items()}


def settings(**changes: Any) -> LoopSettings:
    return dataclasses.replace(SETTINGS, **changes)


def test_best_weights_are_restored_and_patience_stops(tmp_path: Path) -> None:
    task = Scripted([0.1, 0.5, 0.4, 0.5, 0.3])
    result = train(tmp_path, task, settings(steps=100, validate_every=2, patience=3))
    assert (result.step, result.best_step, result.best_value, result.stopped_early) == (10, 4, 0.5, True)
    best = load_file(tmp_path / "best.safetensors")
    last = load_file(tmp_path / "last.safetensors")
    weights = task.model.state_dict()
    assert all(torch.equal(weights[name], best[f"model/{name}"]) for name in weights)
    assert not torch.equal(best["model/0.weight"], last["model/0.weight"])


def test_without_a_monitor_the_last_weights_stay(tmp_path: Path) -> None:
    task = Scripted([0.5, 0.1, 0.0])
    result = train(tmp_path, task, settings(monitor=None, patience=None))
    assert (result.step, result.best_step, result.stopped_early) == (10, None, False)
    assert not (tmp_path / "best.safetensors").exists()


def test_the_end_is_validated_once(tmp_path: Path) -> None:
    tracker = Recorder()
    train(tmp_path, Scripted([0.1, 0.2, 0.3]), settings(steps=10, validate_every=4), tracker)
    assert [step for step, row in tracker.rows if "valid/fit" in row] == [4, 8, 10]
    tracker = Recorder()
    train(tmp_path / "b", Scripted([0.1, 0.2]), settings(steps=8, validate_every=4), tracker)
    assert [step for step, row in tracker.rows if "valid/fit" in row] == [4, 8]


def test_logged_losses_are_means_over_the_steps(tmp_path: Path) -> None:
    every, pairs = Recorder(), Recorder()
    train(tmp_path / "a", SmallTask(), settings(log_every=1, monitor=None, patience=None), every)
    torch.manual_seed(0)
    train(tmp_path / "b", SmallTask(), settings(log_every=2, monitor=None, patience=None), pairs)
    single = [row["train/mean"] for _, row in every.rows if "train/mean" in row]
    double = [row["train/mean"] for _, row in pairs.rows if "train/mean" in row]
    assert double == pytest.approx([(a + b) / 2 for a, b in zip(single[::2], single[1::2], strict=True)])
    rates = [row["train/learning_rate"] for _, row in every.rows if "train/mean" in row]
    assert rates == [0.05 * SETTINGS.schedule(step, 10) for step in range(10)]


def test_a_finished_run_returns_at_once_with_the_same_result(tmp_path: Path) -> None:
    task = SmallTask()
    first = train(tmp_path, task)
    again = SmallTask()
    assert train(tmp_path, again) == first
    assert all(
        torch.equal(a, b) for a, b in zip(task.model.parameters(), again.model.parameters(), strict=True)
    )
    assert resume_step(Checkpoints(tmp_path), "small") == 10


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    train(tmp_path, SmallTask())
    task = SmallTask()
    with pytest.raises(ArtifactError, match=r"another configuration.*--out"):
        run(
            task,
            torch.optim.AdamW(task.model.parameters()),
            SETTINGS,
            runtime=Runtime(cpu=True),
            checkpoints=Checkpoints(tmp_path),
            trackers=Trackers(),
            identity="other",
        )
    with pytest.raises(ArtifactError, match="another configuration"):
        resume_step(Checkpoints(tmp_path), "other")


def test_on_first_step_is_called_once_after_the_first_step(tmp_path: Path) -> None:
    calls: list[int] = []
    task = SmallTask()
    seen: list[int] = []
    task.after_step = seen.append  # type: ignore[method-assign]
    run(
        task,
        torch.optim.SGD(task.model.parameters()),
        settings(steps=3),
        runtime=Runtime(cpu=True),
        checkpoints=Checkpoints(tmp_path),
        trackers=Trackers(),
        progress_bar=False,
        on_first_step=lambda: calls.append(len(seen)),
    )
    assert calls == [1]


def test_a_loss_that_is_not_finite_names_its_step_and_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match="not a finite number at step 5;"):
        train(tmp_path, Exploding(), settings(log_every=100, validate_every=100, checkpoint_every=4))
    assert resume_step(Checkpoints(tmp_path), "small") == 4


def test_a_monitor_that_is_not_validated_names_the_choices(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"LoopSettings\.monitor is 'ndcg'.*fit"):
        train(tmp_path, SmallTask(), settings(monitor="ndcg"))


def test_a_figure_that_is_nan_from_the_start_is_an_error_and_later_counts_as_worse(tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match="fit = nan at step 2"):
        train(tmp_path / "a", Scripted([math.nan]), settings(validate_every=2))
    result = train(
        tmp_path / "b", Scripted([0.1, math.nan, math.nan]), settings(validate_every=2, patience=2)
    )
    assert (result.best_step, result.stopped_early, result.step) == (2, True, 6)


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 0},
        {"validate_every": 0},
        {"patience": 0},
        {"learning_rate": 0.0},
        {"learning_rate": math.inf},
        {"gradient_clip": -1.0},
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"LoopSettings.{next(iter(changes))} is"):
        settings(**changes)


def test_patience_needs_a_monitor() -> None:
    with pytest.raises(ConfigError, match="patience needs"):
        settings(monitor=None)


def test_the_gradient_is_clipped(tmp_path: Path) -> None:
    moved = []
    for clip in (None, 1e-3):
        task = SmallTask()
        torch.manual_seed(0)
        start = [parameter.detach().clone() for parameter in task.model.parameters()]
        task.after_step = lambda step: None  # type: ignore[method-assign]
        run(
            task,
            torch.optim.SGD(task.model.parameters()),
            settings(steps=1, learning_rate=1.0, gradient_clip=clip, monitor=None, patience=None),
            runtime=Runtime(cpu=True),
            checkpoints=Checkpoints(tmp_path / str(clip)),
            trackers=Trackers(),
            progress_bar=False,
        )
        steps = [(p - s).square().sum() for p, s in zip(task.model.parameters(), start, strict=True)]
        moved.append(math.sqrt(float(torch.stack(steps).detach().sum())))
    assert moved[1] <= 1e-3 * 0.5 * 1.01 < moved[0]  # the first warm-up step is at half the rate


def test_means_start_anew_and_continue_from_saved_sums() -> None:
    means = Means({"loss": 2.0}, torch.device("cpu"))
    means.add({"loss": torch.tensor(4.0)}, 0)
    assert means.sums() == {"loss": 6.0}
    assert means.take(2) == {"loss": 3.0}
    assert means.sums() == {}


def test_progress_prints_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(10, 3, visible=True)
    progress.advance()
    progress.show({"loss": 1.23456})
    progress.show({"ndcg@10": 0.5}, always=True)
    progress.close()
    assert capsys.readouterr().err == "step 4/10 loss 1.235 ndcg@10 0.5\n"
    Progress(10, 0, visible=False).show({"loss": 1.0}, always=True)
    assert capsys.readouterr().err == ""
