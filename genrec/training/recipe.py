"""A recipe: what the scripts' training runs have in common, as one object to bind in gin."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from torch import nn
from torch.optim import AdamW

from genrec.errors import ConfigError
from genrec.training.schedules import Cosine, Schedule
from genrec.training.settings import LoopSettings


@dataclass(frozen=True)
class Recipe:
    """How to optimise.

    Attributes:
        schedule: factor on the learning rate over the run.
        weight_decay: of AdamW, on matrices only; biases, norms and scales do not decay.
        decay_embeddings: whether embedding tables are such matrices. Decay shrinks the rows of every item at each
            step, but gradients reach only the rows of items in the batch.
        ema: decay of averaged weights (0.999, say), which are then validated and kept; None trains without.
        gradient_clip: largest norm of the gradient; None does not clip.
        patience: validations without improvement after which training stops; None never stops early.
        validations: validations in a run without epochs of its own.
        checkpoint_every: steps between checkpoints.
        log_every: steps between logged losses.
    """

    schedule: Schedule = field(default_factory=lambda: Cosine(warmup=50))
    weight_decay: float = 0.05
    decay_embeddings: bool = True
    ema: float | None = None
    gradient_clip: float | None = 1.0
    patience: int | None = None
    validations: int = 10
    checkpoint_every: int = 500
    log_every: int = 50

    def __post_init__(self) -> None:
        if self.weight_decay < 0:
            raise ConfigError(f"Recipe.weight_decay must not be negative, got {self.weight_decay}")
        if self.ema is not None and not 0 <= self.ema < 1:
            raise ConfigError(f"Recipe.ema must be in [0, 1) or None, got {self.ema}")
        if self.validations < 1:
            raise ConfigError(f"Recipe.validations must be at least 1, got {self.validations}")

    def optimizer(self, model: nn.Module, learning_rate: float) -> AdamW:
        """AdamW over the model's parameters."""
        tables = (m for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag))
        kept = set() if self.decay_embeddings else {table.weight for table in tables}
        parameters = list(model.parameters())
        decayed = {p for p in parameters if p.dim() >= 2} - kept
        groups = [
            {"params": [p for p in parameters if p in decayed], "weight_decay": self.weight_decay},
            {"params": [p for p in parameters if p not in decayed], "weight_decay": 0.0},
        ]
        return AdamW(groups, lr=learning_rate)

    def settings(
        self, *, iterations: int, learning_rate: float, epoch: int | None = None, monitor: str | None = None
    ) -> LoopSettings:
        """Settings of the loop.

        Args:
            iterations: updates of the weights.
            learning_rate: peak.
            epoch: steps of one pass over the data, after each of which to validate; None spreads `validations` evenly.
            monitor: figure that marks the best weights.
        """
        if iterations < 1:
            raise ConfigError(f"train.iterations must be at least 1, got {iterations}")
        if not learning_rate > 0:
            raise ConfigError(f"train.learning_rate must be above 0, got {learning_rate}")
        return LoopSettings(
            steps=iterations,
            learning_rate=learning_rate,
            validate_every=epoch or math.ceil(iterations / self.validations),
            monitor=monitor,
            patience=self.patience if monitor else None,
            checkpoint_every=self.checkpoint_every,
            log_every=self.log_every,
            gradient_clip=self.gradient_clip,
            schedule=self.schedule,
            ema=self.ema,
        )
