"""Codebooks that follow their vectors as running means, without a gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genrec.errors import ConfigError
from genrec.tokenizer.processes import mean_over_processes


@dataclass(frozen=True)
class Ema:
    """A code is the exponential moving average of the vectors that choose it, k-means in small batches.

    Source: van den Oord et al. 2017, "Neural discrete representation learning", appendix A.1.

    Attributes:
        decay: share of the old average that a step keeps, in (0, 1). The latents move fast at the start of
            training, and codes that lag behind them lose their rows to the quickest ones: .99, usual for a
            trained encoder, is too slow for the first some hundred steps.
        smoothing: added to every code's share of the rows (Laplace), so that a code without rows goes to the
            mean of the level, which is near the origin, instead of dividing by zero.
    """

    decay: float = 0.9
    smoothing: float = 1e-5

    def __post_init__(self) -> None:
        if not 0 < self.decay < 1:
            raise ConfigError(f"Ema.decay must be between 0 and 1, got {self.decay}")
        if not self.smoothing > 0:
            raise ConfigError(f"Ema.smoothing must be positive, got {self.smoothing}")


class RunningMeans(nn.Module):
    """The averages behind the codes of all levels, in buffers, so that a checkpoint holds them.

    Args:
        rule: how they run.
        n_levels: L.
        codebook_size: K.
        embed_dim: d.
    """

    shares: Tensor
    sums: Tensor

    def __init__(self, rule: Ema, n_levels: int, codebook_size: int, embed_dim: int) -> None:
        super().__init__()
        self.rule = rule
        self.register_buffer("shares", torch.full((n_levels, codebook_size), 1 / codebook_size))
        self.register_buffer("sums", torch.zeros(n_levels, codebook_size, embed_dim))

    @torch.no_grad()
    def start(self, level: int, book: Tensor, index: Tensor) -> None:
        """Begin, or begin anew, with the codes book [K, d] and the rows that chose them, index [M]."""
        counts = torch.bincount(index, minlength=len(book)).clamp_min(1)  # a code of no weight would not stay
        self.shares[level] = counts / len(index)
        self.sums[level] = book * self.shares[level, :, None]

    @torch.no_grad()
    def update(self, level: int, book: Tensor, z: Tensor, index: Tensor) -> None:
        """Take in a batch, z [B, d] with the codes index [B] it chose, and set book [K, d] to the new means."""
        shares, sums = self.shares[level], self.sums[level]
        batch = torch.zeros(len(book), 1 + z.shape[1], device=z.device, dtype=sums.dtype)
        ones = torch.ones(len(z), 1, device=z.device, dtype=sums.dtype)
        batch.index_add_(0, index, torch.cat([ones, z.to(sums.dtype)], dim=1))
        mean_over_processes(batch.div_(len(z)))  # [K, 1 + d]: share of the rows, and their sum over B
        shares.lerp_(batch[:, 0], 1 - self.rule.decay)
        sums.lerp_(batch[:, 1:], 1 - self.rule.decay)
        total = shares.sum()
        smooth = (shares + self.rule.smoothing) * (total / (total + len(book) * self.rule.smoothing))
        torch.div(sums, smooth[:, None], out=book.data)
