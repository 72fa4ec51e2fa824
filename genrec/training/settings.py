"""What the training loop is told and what it tells: the task, the settings, the result."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor, nn

from genrec.errors import ConfigError
from genrec.training.schedules import Constant, Schedule


class Task(Protocol):
    """What is trained.

    `model` is replaced by its prepared form when the loop starts; state that training changes must live in
    its parameters and buffers, because those are what a checkpoint keeps.
    """

    model: nn.Module

    def loss(self, step: int) -> dict[str, Tensor]:
        """Scalars of one batch, the same names every step; `loss` is minimised, all are logged.

        Depends on the step, the model and the global generators only. Where several processes share a batch, each
        gives such a part of every scalar (and of its gradient) that their sum is the scalar of the whole batch.
        """
        ...

    def validate(self) -> dict[str, float]:
        """Figures of the model, which is in eval mode and needs no gradients here; called on every process."""
        ...

    def after_step(self, step: int) -> None:
        """Called when the weights have been updated, e.g. to reset dead codes; does the same on every process."""
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
        ema: decay of averaged weights (`genrec.training.ema`), which are then the ones that are validated and kept
            as the best; None trains without.
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
    ema: float | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "validate_every", "checkpoint_every", "log_every", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"LoopSettings.{name} is {value}; it must be 1 or more")
        for name in ("learning_rate", "gradient_clip"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ConfigError(f"LoopSettings.{name} is {value}; it must be above 0")
        if self.ema is not None and not 0 <= self.ema < 1:
            raise ConfigError(f"LoopSettings.ema is {self.ema}; it must be at least 0 and below 1, or None")
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
