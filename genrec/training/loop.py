"""The training loop: steps, validation, the best weights, early stopping, and resuming bit for bit.

Everything that decides the next step (weights, optimizer, random generators, counters) is in the checkpoint,
and validation does not touch the generators, so a run that was killed anywhere and started again ends with
the weights of one that was not. Several processes go through the same steps side by side, each with its part
of the batch; the main one writes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch.optim import Optimizer

from genrec.errors import ArtifactError, ConfigError, GenrecError
from genrec.training.checkpoint import Checkpoints, Name, random_untouched
from genrec.training.ema import Ema
from genrec.training.means import Means
from genrec.training.progress import Progress
from genrec.training.runtime import Runtime
from genrec.training.settings import LoopResult, LoopSettings, Task
from genrec.training.trackers import Tracker


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
        self.ema = None if settings.ema is None else Ema(self.plain, settings.ema)
        self.state = self._resumed(identity)
        runtime.processes.start_alike(self.plain)
        self.losses = Means(self.state.sums, runtime.device)
        self.rate = 0.0
        self.started = time.monotonic() - self.state.seconds

    def _resumed(self, identity: str) -> _State:
        resume_step(self.checkpoints, identity)  # before anything is loaded that may not fit
        saved = self.checkpoints.load("last", model=self.plain, optimizer=self.optimizer, ema=self.ema)
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
        if settings.monitor is None:
            self._exchange()
        elif self.checkpoints.load("best", model=self.plain) is None:
            raise ArtifactError(
                f"{self.checkpoints.path('best')} is missing; remove its folder to train again"
            )
        self.task.model.eval()
        return LoopResult(state.step, state.best_step, state.best_value, self._stopped(), state.seconds)

    def _stopped(self) -> bool:
        return self.settings.patience is not None and self.state.worse >= self.settings.patience

    def _step(self) -> None:
        settings, accelerator, processes = self.settings, self.runtime.accelerator, self.runtime.processes
        step = self.state.step
        self.rate = settings.learning_rate * settings.schedule(step, settings.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        processes.draw_apart(self.runtime.seed, step)
        with accelerator.autocast():
            losses = self.task.loss(step)
        accelerator.backward(losses["loss"])
        losses = processes.sum_gradients(self.plain.parameters(), losses)
        if settings.gradient_clip is not None:
            accelerator.clip_grad_norm_(self.plain.parameters(), settings.gradient_clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            self.task.after_step(step)
        if self.ema is not None:
            self.ema.update(step)
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
        state, monitor = self.state, self.settings.monitor
        self.losses.check()
        self.task.model.eval()
        self._exchange()
        with random_untouched(), torch.no_grad():
            figures = self.runtime.processes.from_main(self.task.validate())
        state.validated = state.step
        self._track({f"valid/{name}": value for name, value in figures.items()})
        if monitor is None:
            bar.show(figures, always=True)
        elif monitor in figures:
            bar.show({monitor: figures[monitor]}, always=True)
            self._judge(figures[monitor])
        else:
            raise ConfigError(
                f"LoopSettings.monitor is {monitor!r}, which validation does not give; choose one of "
                f"{', '.join(figures)}"
            )
        self._exchange()
        self.task.model.train()
        self._save("last")

    def _exchange(self) -> None:
        """Averaged weights in place of the model's, or back."""
        if self.ema is not None:
            self.ema.exchange()

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
        if not self.runtime.is_main:
            return
        progress = asdict(self.state)
        if name == "best":
            self.checkpoints.save("best", model=self.plain, progress=progress)
        else:
            self.checkpoints.save(
                "last", model=self.plain, progress=progress, optimizer=self.optimizer, ema=self.ema
            )

    def _track(self, metrics: dict[str, float]) -> None:
        if self.runtime.is_main:
            self.trackers.log(metrics, self.state.step)
