"""How often an item is met in a stream of training events, estimated while it goes by."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrec.errors import ConfigError


class StreamingFrequency(nn.Module):
    """The probability that a training event is on an item, from the intervals between its events.

    Algorithm 2 of Yi et al. (2019), "Sampling-bias-corrected neural modeling for large corpus item
    recommendations": array A holds when an item was last met, array B a moving average of the interval between
    two meetings, whose inverse is the probability. Two things are different. Time is counted in events instead of
    batches: in a small catalogue a popular item is in every batch, several times, which intervals of batches cannot
    tell from once. And the average is a plain mean until it has heard enough intervals to move, so that the first
    guess (all items alike, which counts as one interval) is soon forgotten.

    Args:
        n_items: N.
        rate: alpha, the weight of a new interval once the average moves.

    Attributes:
        last: A, int64 [N].
        interval: B, float32 [N], in events.
        heard: int64 [N], intervals heard.
        events: int64 [], events gone by.
    """

    last: Tensor
    interval: Tensor
    heard: Tensor
    events: Tensor

    def __init__(self, n_items: int, rate: float = 0.01) -> None:
        super().__init__()
        if not 0 < rate <= 1:
            raise ConfigError(f"StreamingFrequency.rate must be above 0 and at most 1, got {rate}")
        self.rate = rate
        self.register_buffer("last", torch.zeros(n_items, dtype=torch.int64))
        self.register_buffer("interval", torch.full((n_items,), float(n_items)))
        self.register_buffer("heard", torch.zeros(n_items, dtype=torch.int64))
        self.register_buffer("events", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def observe(self, items: Tensor) -> None:
        """Hear of the events of a batch, items int64 [B], in this order."""
        met, place, times = torch.unique(items, return_inverse=True, return_counts=True)
        now = torch.zeros_like(met).scatter_reduce_(
            0, place, 1 + torch.arange(len(items), device=items.device), "amax"
        )
        now += self.events
        mean = (now - self.last[met]) / times  # of the intervals that ended in this batch
        weight = torch.maximum(1 - (1 - self.rate) ** times, times / (self.heard[met] + times + 1))
        self.interval[met] += weight * (mean - self.interval[met])
        self.last[met] = now
        self.heard[met] += times
        self.events += len(items)

    def log_q(self, items: Tensor) -> Tensor:
        """Log-probability of items int64 [...]; an item that was never met is rarer than one in all events."""
        never = self.interval.clamp_min(float(self.events))
        return -torch.where(self.heard > 0, self.interval, never)[items].log()
