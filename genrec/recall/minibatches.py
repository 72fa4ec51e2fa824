"""Batches of training events: every event once per epoch, in an order that depends on seed and epoch only."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class Minibatches:
    """Rows of an epoch in random order, cut into parts whose sizes differ by one at most.

    Args:
        n: rows, at least one.
        size: most rows of a batch.
        seed: of the orders.
    """

    def __init__(self, n: int, size: int, seed: int) -> None:
        self.n, self.seed = n, seed
        self.steps_per_epoch = -(-n // size)
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def rows(self, step: int) -> Tensor:
        """Rows of the batch of a step, int64 [B]; the same whatever was asked for before."""
        epoch, part = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            order = np.random.default_rng((self.seed, epoch)).permutation(self.n)
            self._epoch, self._order = epoch, torch.from_numpy(order)
        first, last = (self.n * place // self.steps_per_epoch for place in (part, part + 1))
        return self._order[first:last]
