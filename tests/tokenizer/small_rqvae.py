"""A small RQ-VAE and its training, and all modes it may have."""

from __future__ import annotations

import torch
from torch import Tensor

from genrec.tokenizer.codebooks import Ema
from genrec.tokenizer.estimators import Estimator, GumbelSoftmax, RotationTrick, Sinkhorn, StraightThrough
from genrec.tokenizer.rqvae import RqVae
from genrec.tokenizer.task import RqVaeTask

MODES: dict[str, tuple[Estimator, Ema | None]] = {
    "straight-through": (StraightThrough(), None),
    "rotation": (RotationTrick(), None),
    "gumbel": (GumbelSoftmax(), None),
    "sinkhorn": (Sinkhorn(), None),
    "sinkhorn, rotation, ema": (Sinkhorn(gradient=RotationTrick()), Ema()),
    "ema": (StraightThrough(), Ema()),
}


def small(
    x: Tensor, *, estimator: Estimator | None = None, ema: Ema | None = None, reset_every: int = 20
) -> RqVae:
    torch.manual_seed(0)
    model = RqVae(x.shape[1], 8, 16, 3, hidden=(32,), estimator=estimator, ema=ema, reset_every=reset_every)
    model.start(x, torch.Generator().manual_seed(0))
    return model


def train(model: RqVae, x: Tensor, steps: int = 300) -> list[dict[str, float]]:
    """The losses of every step."""
    task = RqVaeTask(model, x, batch_size=256, iterations=steps, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    history = []
    for step in range(steps):
        losses = task.loss(step)
        losses["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        task.after_step(step)
        history.append({name: float(value.detach()) for name, value in losses.items()})
    return history
