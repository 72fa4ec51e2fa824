"""Training a generative model, as a task of the training loop."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genrec.generative.batches import BatchPlan


class GenerativeTask:
    """Windows of histories in batches; validation is handed in, because recall is judged above this room.

    Args:
        model: to be trained; a `GenerativeModel`.
        plan: the batches.
        judge: figures of the model on validation users.
        rank: number of this process, from 0.
        size: how many processes share each batch.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        plan: BatchPlan,
        judge: Callable[[], dict[str, float]],
        *,
        rank: int = 0,
        size: int = 1,
    ) -> None:
        self.model = model
        self.plan = plan
        self.judge = judge
        self.rank, self.size = rank, size

    def loss(self, step: int) -> dict[str, Tensor]:
        """This process's part of the losses of a step's batch: means over its targets, times its share of them."""
        window, first, share = self.plan.part(step, self.rank, self.size)
        device = next(self.model.parameters()).device
        losses: dict[str, Tensor] = self.model(window.to(device), first.to(device))
        return {name: value * share for name, value in losses.items()}

    def after_step(self, step: int) -> None:
        """Nothing to do."""

    def validate(self) -> dict[str, float]:
        """What `judge` says."""
        return self.judge()
