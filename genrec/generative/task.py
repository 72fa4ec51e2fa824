"""Training a generative model, as a task of the training loop."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genrec.generative.batches import BatchPlan
from genrec.generative.timeline import Timeline


class TimelineTask:
    """Windows of histories in batches; validation is handed in, because recall is judged above this room.

    Args:
        model: to be trained.
        plan: the batches.
        judge: figures of the model on validation users.
    """

    def __init__(self, model: Timeline, plan: BatchPlan, judge: Callable[[], dict[str, float]]) -> None:
        self.model: torch.nn.Module = model
        self.plan = plan
        self.judge = judge

    def loss(self, step: int) -> dict[str, Tensor]:
        """Losses of a step's batch."""
        window, first = self.plan.batch(step)
        device = next(self.model.parameters()).device
        losses: dict[str, Tensor] = self.model(window.to(device), first.to(device))
        return losses

    def after_step(self, step: int) -> None:
        """Nothing to do."""

    def validate(self) -> dict[str, float]:
        """What `judge` says."""
        return self.judge()
