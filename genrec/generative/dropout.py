"""Dropout whose random numbers cost little on a CPU.

`torch.nn.Dropout` draws one Bernoulli number per element, which on a CPU was a fifth of a training step. Eight
elements share one 64-bit draw here, a byte each, so the probability is rounded to 1/256.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.errors import ConfigError

LEVELS = 256


class Dropout(nn.Module):
    """Zeroes elements while training and scales the others so that the mean stays.

    Args:
        p: probability of zero, in [0, 1).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ConfigError(f"Dropout.p must be in [0, 1), got {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """X [...] -> [...]."""
        if not self.training or self.p == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        dropped = min(round(self.p * LEVELS), LEVELS - 1)
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        keep = words.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped
        return x * keep.to(x.dtype).mul_(LEVELS / (LEVELS - dropped))
