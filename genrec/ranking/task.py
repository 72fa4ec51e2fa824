"""Training a rank model, as a task of the training loop; and what a model says of rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genrec.ranking.examples import Epochs, Examples
from genrec.ranking.fields import Batch
from genrec.ranking.losses import Loss, Targets
from genrec.ranking.models.base import RankModel


class Lesson(nn.Module):
    """A model together with its loss, which may learn something itself.

    Args:
        model: to be trained.
        loss: fits the model's outputs.
    """

    def __init__(self, model: RankModel, loss: Loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Batch, targets: Targets) -> dict[str, Tensor]:
        """Named scalars, `loss` among them."""
        losses: dict[str, Tensor] = self.loss(self.model(batch), targets)
        return losses


class RankTask:
    """Batches of labelled rows; validation is handed in, because rankings are judged elsewhere.

    Args:
        model: to be trained.
        loss: what it minimises.
        examples: the rows.
        epochs: their order.
        judge: figures of the model on validation rows.
    """

    def __init__(
        self,
        model: RankModel,
        loss: Loss,
        examples: Examples,
        epochs: Epochs,
        judge: Callable[[], dict[str, float]],
    ) -> None:
        self.model: nn.Module = Lesson(model, loss)
        self.examples, self.epochs, self.judge = examples, epochs, judge

    def loss(self, step: int) -> dict[str, Tensor]:
        """The losses of a step's batch."""
        rows = self.epochs.rows(step)
        device = next(self.model.parameters()).device
        batch = on_device(self.examples.features(rows), device)
        losses: dict[str, Tensor] = self.model(batch, self.examples.targets(rows).to(device))
        return losses

    def after_step(self, step: int) -> None:
        """Nothing to do."""

    def validate(self) -> dict[str, float]:
        """What `judge` says."""
        return self.judge()


@torch.no_grad()
def predict(model: RankModel, examples: Examples) -> NDArray[np.float32]:
    """Logits of all rows, in order: float32 [R], or [R, tasks] of a model with several; in eval mode."""
    device, training = next(model.parameters()).device, model.training
    model.eval()
    found = [model(on_device(batch, device)).float().cpu() for batch in examples.blocks()]
    model.train(training)
    outputs = torch.cat(found) if found else torch.empty(0)
    logits: NDArray[np.float32] = outputs.numpy()
    return logits


def main_logits(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Those of the task to rank by [R]."""
    return logits if logits.ndim == 1 else logits[:, 0]


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch there."""
    return {name: one.to(device) for name, one in batch.items()}
