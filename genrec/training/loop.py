"""The training loop: steps, validation, the best weights, early stopping, and resuming bit for bit.

Everything that decides the next step (weights, optimizer, random generators, counters) is in the checkpoint,
and validation does not touch the generators, so a run that was killed anywhere and started again ends with
the weights of one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from genrec.errors import ArtifactError, ConfigError, GenrecError
from genrec.training.checkpoint import Checkpoints, Name, random_untouched
from genrec.training.means import Means
from genrec.training.progress import Progress
from genrec.training.runtime import Runtime
from genrec.training.schedules import Constant, Schedule
from genrec.training.trackers import Tracker


class Task(Protocol):
    """What is trained.

    `model` is replaced by its prepared form when the loop starts; state that training changes must live in
    its parameters and buffers, because those are what a checkpoint keeps.
    """

    model: nn.Module

    def loss(self, step: int) -> dict[str, Tensor]:
        """Scalars of one batch, the same names every step; `loss` is minimised, all are logged.

        Depends on the step, the model and the global generators only.
        """
        ...

    def validate(self) -> dict[str, float]:
        """Figures of the model, which is in eval mode and needs no gradients here."""
        ...

    def after_step(self, step: int) -> None:
        """Called when the weights have been updated, e.g. to reset dead codes."""
        ...


@dataclass(frozen=True)
class LoopSettings:
    """How long and how fast.

    Attributes:
        steps: updates of the weights.
        learning_rate: at schedule factor 1, of all parameter groups.
        validate_every: steps between validations; the end is always validated.
        monitor: figure of `Task.validate` whose highest value marks the best weights; None keeps the last.
        patience: validations without a better figure after which training stops; None never stops early.
        checkpoint_every: steps between checkpoints; validations write one as well.
        log_every: steps between logged losses, which are means over them.
        gradient_clip: largest norm of the gradient; None does not clip.
        schedule: factor on the learning rate.
    """

    steps: int
    learning_rate: float
    validate_every: int
    monitor: str | None = None
    patience: int | None = None
    checkpoint_every: int = 1000
    log_every: int = 50
    gradient_clip: float | None = None
    schedule: Schedule = field(default_factory=Constant)

    def __post_init__(self) -> None:
        for name in ("steps", "validate_every", "checkpoint_every", "log_every", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"LoopSettings.{name} is {value}; it must be 1 or more")
        for name in ("learning_rate", "gradient_clip"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ConfigError(f"LoopSettings.{name} is {value}; it must be above 0")
        if self.patience is not None and self.monitor is None:
            raise ConfigError(
                "LoopSettings.patience needs LoopSettings.monitor, the figure that shall improve"
            )


@dataclass(frozen=True)
class LoopResult:
    """How a run ended.

    Attributes:
        step: updates done.
        best_step: step of the best validation; None without a monitor.
        best_value: its monitored figure.
        stopped_early: whether patience ended the run.
        seconds: of training and validation, over all resumed parts.
    """

    step: int
    best_step: int | None
    best_value: float | None
    stopped_early: bool
    seconds: float


@dataclass
class _State:
    """Everything a checkpoint says beside tensors."""

    identity: str
    step: int = 0  # updates done
    validated: int = 0  # step of the last validation
    best_step: int | None = None
    best_value: float | None = None
    worse: int = 0  # validations since the best one
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)  # losses since the last logged step
    scaler: dict[str, Any] | None = None  # of fp16


def run(
    task: Task,
    optimizer: Optimizer,
    settings: LoopSettings,
    *,
    runtime: Runtime,
    checkpoints: Checkpoints,
    trackers: Tracker,
    progress_bar: bool = True,
    identity: str = "",
    on_first_step: Callable[[], None] | None = None,
) -> LoopResult:
    """Train, from the checkpoint `last` if there is one; ends with the best weights (the last without a monitor).

    Args:
        identity: hash of configuration and inputs; a checkpoint with another one is refused.
        on_first_step: called once, after the first step of this process.

    Raises:
        ArtifactError: the checkpoint is of another run, damaged, or cannot be written.
        ConfigError: the monitored figure does not exist.
        GenrecError: the loss is no longer finite.
    """
    return _Run(task, optimizer, settings, runtime, checkpoints, trackers, identity).go(
        progress_bar, on_first_step
    )


def resume_step(checkpoints: Checkpoints, identity: str = "") -> int | None:
    """The step from which `run` would go on; None if it would start anew.

    Raises:
        ArtifactError: the checkpoint is of another run; ask before writing anything beside it.
    """
    saved = checkpoints.progress("last")
    if saved is not None and saved["identity"] != identity:
        raise ArtifactError(
            f"{checkpoints.folder} was started with another configuration or inputs; remove it or pass another --out"
        )
    return None if saved is None else int(saved["step"])


class _Run:
    def __init__(
        self,
        task: Task,
        optimizer: Optimizer,
        settings: LoopSettings,
        runtime: Runtime,
        checkpoints: Checkpoints,
        trackers: Tracker,
        identity: str,
    ) -> None:
        task.model, self.optimizer = runtime.prepare(task.model, optimizer)
        self.task, self.settings, self.runtime = task, settings, runtime
        self.checkpoints, self.trackers = checkpoints, trackers
        self.plain = runtime.unwrap(task.model)
        self.state = self._resumed(identity)
        self.losses = Means(self.state.sums, runtime.device)
        self.rate = 0.0
        self.started = time.monotonic() - self.state.seconds

    def _resumed(self, identity: str) -> _State:
        resume_step(self.checkpoints, identity)  # before anything is loaded that may not fit
        saved = self.checkpoints.load("last", model=self.plain, optimizer=self.optimizer)
        if saved is None:
            return _State(identity)
        if self.runtime.accelerator.scaler is not None and saved["scaler"] is not None:
            self.runtime.accelerator.scaler.load_state_dict(saved["scaler"])
        return _State(**saved)

    def go(self, progress_bar: bool, on_first_step: Callable[[], None] | None) -> LoopResult:
        state, settings = self.state, self.settings
        bar = Progress(settings.steps, state.step, progress_bar and self.runtime.is_main)
        self.task.model.train()
        try:
            while state.step < settings.steps and not self._stopped():
                self._step()
                bar.advance()
                if on_first_step is not None:
                    on_first_step()
                    on_first_step = None
                if state.step % settings.log_every == 0:
                    self._log(bar)
                if state.step % settings.validate_every == 0:
                    self._validate(bar)
                elif state.step % settings.checkpoint_every == 0:
                    self._save("last")
            if state.validated < state.step:
                self._validate(bar)
        finally:
            bar.close()
        self.runtime.accelerator.wait_for_everyone()
        if settings.monitor is not None and self.checkpoints.load("best", model=self.plain) is None:
            raise ArtifactError(
                f"{self.checkpoints.path('best')} is missing; remove its folder to train again"
            )
        self.task.model.eval()
        return LoopResult(state.step, state.best_step, state.best_value, self._stopped(), state.seconds)

    def _stopped(self) -> bool:
        return self.settings.patience is not None and self.state.worse >= self.settings.patience

    def _step(self) -> None:
        settings, accelerator, step = self.settings, self.runtime.accelerator, self.state.step
        self.rate = settings.learning_rate * settings.schedule(step, settings.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        with accelerator.autocast():
            losses = self.task.loss(step)
        accelerator.backward(losses["loss"])
        if settings.gradient_clip is not None:
            accelerator.clip_grad_norm_(self.task.model.parameters(), settings.gradient_clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            self.task.after_step(step)
        self.losses.add(losses, step)
        self.state.step = step + 1

    def _log(self, bar: Progress) -> None:
        means = self.losses.take(self.settings.log_every)
        bar.show(means)
        self._track(
            {f"train/{name}": value for name, value in means.items()} | {"train/learning_rate": self.rate}
        )

    def _validate(self, bar: Progress) -> None:
        """Validate without leaving a trace in the generators, keep the best weights, and write a checkpoint."""
        state = self.state
        self.losses.check()
        self.task.model.eval()
        with random_untouched(), torch.no_grad():
            figures = self.task.validate()
        self.task.model.train()
        state.validated = state.step
        self._track({f"valid/{name}": value for name, value in figures.items()})
        monitor = self.settings.monitor
        if monitor is not None:
            if monitor not in figures:
                raise ConfigError(
                    f"LoopSettings.monitor is {monitor!r}, which validation does not give; choose one of "
                    f"{', '.join(figures)}"
                )
            bar.show({monitor: figures[monitor]}, always=True)
            self._judge(figures[monitor])
        else:
            bar.show(figures, always=True)
        self._save("last")

    def _judge(self, value: float) -> None:
        state = self.state
        if state.best_value is None or value > state.best_value:
            if not math.isfinite(value):
                raise GenrecError(f"validation gave {self.settings.monitor} = {value} at step {state.step}")
            state.best_step, state.best_value, state.worse = state.step, value, 0
            self._save("best")
        else:
            state.worse += 1

    def _save(self, name: Name) -> None:
        self.losses.check()
        scaler = self.runtime.accelerator.scaler
        self.state.seconds = time.monotonic() - self.started
        self.state.sums = self.losses.sums()
        self.state.scaler = None if scaler is None else scaler.state_dict()
        if self.runtime.is_main:
            optimizer = self.optimizer if name == "last" else None
            self.checkpoints.save(name, model=self.plain, optimizer=optimizer, progress=asdict(self.state))

    def _track(self, metrics: dict[str, float]) -> None:
        if self.runtime.is_main:
            self.trackers.log(metrics, self.state.step)
