"""From which distribution a batch's shared negatives are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genrec.errors import ConfigError


class Sampler(Protocol):
    """A distribution over items; every item must have a chance, or those without one would never be negatives."""

    def probabilities(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of items with these numbers of training events [N]; above 0, sum 1."""
        ...


@dataclass(frozen=True)
class Empirical:
    """By training events, to a power: 1 is the distribution of the events themselves, 0 is uniform.

    Mikolov et al. (2013, "Distributed representations of words", section 2.2) found 0.75 good for words.

    Attributes:
        power: 0 to 1.
    """

    power: float = 0.75

    def __post_init__(self) -> None:
        if not 0 <= self.power <= 1:
            raise ConfigError(f"Empirical.power must be between 0 and 1, got {self.power}")

    def probabilities(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Each item counts as if it had one event more."""
        weights = (counts + 1.0) ** self.power
        return np.asarray(weights / weights.sum())


@dataclass(frozen=True)
class LogUniform:
    """By rank of popularity r = 0, 1, ...: log(r + 2) - log(r + 1), close to Zipf's law."""

    def probabilities(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Items with equally many events in their order."""
        ranks = np.empty(len(counts), dtype=np.int64)
        ranks[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
        return np.asarray(np.log1p(1.0 / (ranks + 1.0)) / np.log(len(counts) + 1.0))


class Draws(nn.Module):
    """Draws with replacement, and the log-probability of each item.

    Args:
        probabilities: [N].
    """

    log_q: Tensor
    below: Tensor

    def __init__(self, probabilities: NDArray[np.float64]) -> None:
        super().__init__()
        self.register_buffer("log_q", torch.from_numpy(np.log(probabilities)).float(), persistent=False)
        below = np.cumsum(probabilities) / probabilities.sum()
        self.register_buffer("below", torch.from_numpy(below[:-1].copy()).float(), persistent=False)

    def forward(self, n: int) -> Tensor:
        """N items, int64 [n], by the global generator."""
        places = torch.rand(n, device=self.below.device)
        return torch.searchsorted(self.below, places, right=True)
