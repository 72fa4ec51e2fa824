"""What a sequence model's states are trained by: each state shall rank its next item above the others.

A loss is handed the states, their targets and the table of item vectors; the score of an item is the inner product.
"""

from __future__ import annotations

from math import log
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from genrec.errors import ConfigError
from genrec.generative.linear import linear
from genrec.generative.softmax import exact

CHUNK = 256
"""Rows whose logits exist at once: with some thousand items they stay in the cache, which halves the time."""


class SequenceLoss(Protocol):
    """How states are judged by their targets."""

    def __call__(self, states: Tensor, targets: Tensor, table: Tensor) -> Tensor:
        """Mean loss, a scalar.

        Args:
            states: [M, D].
            targets: items int64 [M].
            table: vectors of all items [N, D].
        """
        ...


class FullSoftmax:
    """Cross-entropy over the whole catalogue; it, not the architecture, is what makes SASRec strong.

    Klenitskiy & Vasilev (2023), "Turning Dross Into Gold Loss", section 3.
    """

    def __call__(self, states: Tensor, targets: Tensor, table: Tensor) -> Tensor:
        """Mean loss of states [M, D], targets int64 [M] and all items [N, D]."""
        loss: Tensor = _CrossEntropy.apply(states, targets, table)
        return loss


class SampledSoftmax:
    """The same with its sum over items estimated from a uniform sample, which all rows of a batch share.

    Each of n drawn items stands for N / n items (the logQ correction of a uniform sample: Jean et al. 2015, section
    3.1), and a row's own target is never among its negatives. With n = N it is the full cross-entropy.

    Args:
        negatives: n, drawn without replacement for each batch.
    """

    def __init__(self, negatives: int = 512) -> None:
        if negatives < 1:
            raise ConfigError(f"SampledSoftmax.negatives must be at least 1, got {negatives}")
        self.negatives = negatives

    def __call__(self, states: Tensor, targets: Tensor, table: Tensor) -> Tensor:
        """Mean loss of states [M, D], targets int64 [M] and all items [N, D]."""
        n_items = len(table)
        drawn = torch.randperm(n_items, device=table.device)[: self.negatives]  # [n]
        positive = _own_scores(states, targets, table)  # [M]
        negative = exact(linear(states, F.embedding(drawn, table))) + log(n_items / len(drawn))  # [M, n]
        negative = negative.masked_fill(drawn == targets[:, None], -torch.inf)
        return (torch.cat([positive[:, None], negative], dim=1).logsumexp(1) - positive).mean()


class BinaryCrossEntropy:
    """Is it the next item or not: each target against uniform negatives of its own.

    With one negative and no calibration it is SASRec's own loss (Kang & McAuley 2018, eq. 6). Negatives that were
    not drawn make such a model overconfident; gBCE (Petrov & Macdonald 2023, gSASRec, section 5) takes the positive
    probability to the power of beta, and thereby most of that back.

    Args:
        negatives: drawn per target; one that is the target itself does not count.
        calibration: t of gBCE, 0 to 1: from no correction to the full one.
    """

    def __init__(self, negatives: int = 1, calibration: float = 0.0) -> None:
        if negatives < 1:
            raise ConfigError(f"BinaryCrossEntropy.negatives must be at least 1, got {negatives}")
        if not 0 <= calibration <= 1:
            raise ConfigError(f"BinaryCrossEntropy.calibration must be between 0 and 1, got {calibration}")
        self.negatives, self.calibration = negatives, calibration

    def __call__(self, states: Tensor, targets: Tensor, table: Tensor) -> Tensor:
        """Mean loss of states [M, D], targets int64 [M] and all items [N, D]."""
        shape = (len(targets), self.negatives)
        drawn = torch.randint(len(table), shape, device=table.device)  # [M, n]
        negative = torch.einsum("md,mnd->mn", states, F.embedding(drawn, table))
        positive = F.softplus(-_own_scores(states, targets, table)) * self.beta(len(table))  # [M]
        return (positive + (F.softplus(negative) * (drawn != targets[:, None])).sum(1)).mean()

    def beta(self, n_items: int) -> float:
        """The power of the positive probability; 1 without calibration, the share of items drawn with all of it."""
        share = min(1.0, self.negatives / max(1, n_items - 1))
        return self.calibration * share + 1 - self.calibration


def _own_scores(states: Tensor, targets: Tensor, table: Tensor) -> Tensor:
    """Scores [M] of the targets."""
    return exact((states * F.embedding(targets, table)).sum(-1))


class _CrossEntropy(torch.autograd.Function):
    """Softmax cross-entropy whose gradient is made with it, chunk by chunk, so that logits are never kept.

    The gradient with respect to logits is the softmax less the target, which is at hand when the loss is: the idea
    of fused linear cross-entropy (Hsu et al. 2024, Liger Kernel, section 3.2). Per chunk it costs three products and
    one exponential in place.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, targets: Tensor, table: Tensor) -> Tensor:
        total = exact(states.new_zeros(()))
        for_states, for_table = torch.empty_like(states), torch.zeros_like(table)
        for start in range(0, len(states), CHUNK):
            rows = slice(start, start + CHUNK)
            x, target = states[rows], targets[rows, None]
            logits = exact(linear(x, table))  # [c, N]
            own, top = logits.gather(1, target), logits.amax(1, keepdim=True)
            odds = logits.sub_(top).exp_()
            norm = odds.sum(1, keepdim=True)
            total += (norm.log() + top - own).sum()
            slope = odds.div_(norm).scatter_add_(1, target, torch.full_like(own, -1.0)).to(x.dtype)
            for_states[rows] = linear(slope, table.t())
            for_table += linear(x.t(), slope.t()).t()
        ctx.save_for_backward(for_states, for_table)
        return total / len(states)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor]:
        for_states, for_table = ctx.saved_tensors
        scale = grad / len(for_states)
        return for_states * scale.to(for_states.dtype), None, for_table * scale.to(for_table.dtype)
