"""Weights averaged over the steps of a run, which often generalise better than the last ones.

Polyak & Juditsky 1992 average all steps alike; the exponential mean forgets the early ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Ema:
    """Exponential moving average of a model's parameters; buffers stay the model's own.

    Args:
        model: whose parameters are averaged, from now on.
        decay: share of the average that a step keeps, below 1. Early on it is (1 + step) / (10 + step) where that
            is less, so that short runs do not remember how they started.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights: list[Tensor] = list(model.parameters())  # tied ones once
        self.averages = [weight.detach().clone() for weight in self.weights]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.averages, self.weights, 1 - decay)

    @torch.no_grad()
    def exchange(self) -> None:
        """The averages become the model's weights and the other way round; twice changes nothing."""
        for weight, average in zip(self.weights, self.averages, strict=True):
            kept = weight.clone()
            weight.copy_(average)
            average.copy_(kept)

    @torch.no_grad()
    def load(self, averages: Sequence[Tensor]) -> None:
        """Go on from averages of a checkpoint.

        Raises:
            ValueError: they are not those of this model.
        """
        if [a.shape for a in averages] != [a.shape for a in self.averages]:
            raise ValueError("the averaged weights are of another model")
        for average, saved in zip(self.averages, averages, strict=True):
            average.copy_(saved)
