"""What two towers are trained by: a user's vector shall be nearer to the item taken than to others.

The others are the items of the other rows, which cost nothing but come as often as they are popular, and items drawn
uniformly. The score is the inner product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.errors import ConfigError
from genrec.generative.softmax import exact

_NEVER = -1e9


class Pairs(NamedTuple):
    """A batch of B users, the item each took, and M items drawn uniformly from the catalogue beside them.

    Attributes:
        users: vectors [B, D].
        items: vectors [B + M, D]: row i's own item is the i-th.
        log_q: [B + M], log-probability with which an event of the batch is on each of these items.
        negative: bool [B, B + M], whether an item is a negative of a row. Its own item is none, wherever it stands
            (an accidental hit), nor is what else the user took, if that is known.
        n_items: N, from which M were drawn.
    """

    users: Tensor
    items: Tensor
    log_q: Tensor
    negative: Tensor
    n_items: int


class PairLoss(Protocol):
    """How pairs are judged."""

    @property
    def drawn(self) -> int:
        """M, the items it wants drawn uniformly beside each batch."""
        ...

    def __call__(self, pairs: Pairs) -> Tensor:
        """Mean loss, a scalar."""
        ...


@dataclass(frozen=True)
class InBatchSoftmax:
    """Softmax over the items of the batch.

    An item is among the negatives as often as it is popular, which would teach the model that popular items are
    unlikely. Subtracting the logarithm of that frequency from every logit, the positive one too, takes the bias out
    (Yi et al. 2019, eq. 3).

    Attributes:
        temperature: divides scores; about 0.05 to 0.2 for normalised vectors, 1 for others.
        log_q: whether to correct.
    """

    temperature: float = 0.1
    log_q: bool = True
    drawn: ClassVar[int] = 0

    def __post_init__(self) -> None:
        _positive(self, "temperature", self.temperature)

    def __call__(self, pairs: Pairs) -> Tensor:
        """Mean loss."""
        return _softmax(_logits(pairs, self.temperature, pairs.log_q if self.log_q else None), pairs.negative)


@dataclass(frozen=True)
class MixedSoftmax:
    """Softmax over the items of the batch and uniform ones, so that rare and new items are negatives, too.

    The negatives come from a mixture of both distributions, and so does the correction (Yang et al. 2020, "Mixed
    negative sampling for learning two-tower neural networks in recommendations", section 3).

    Attributes:
        temperature: divides scores.
        drawn: uniform items per batch.
        hard: share of the uniform ones, those that a row scores highest, which are its negatives; 1 takes all.
    """

    temperature: float = 0.1
    drawn: int = 1024
    hard: float = 1.0

    def __post_init__(self) -> None:
        _positive(self, "temperature", self.temperature)
        _check_drawn(self, self.drawn, self.hard)

    def __call__(self, pairs: Pairs) -> Tensor:
        """Mean loss."""
        rows = len(pairs.users)
        uniform = math.log(self.drawn / (self.drawn + rows) / pairs.n_items)
        log_q = torch.logaddexp(
            pairs.log_q + math.log(rows / (self.drawn + rows)), torch.full_like(pairs.log_q, uniform)
        )
        logits = _logits(pairs, self.temperature, log_q)
        negative = pairs.negative
        if self.hard < 1:
            scores = logits[:, rows:].masked_fill(~negative[:, rows:], -torch.inf)
            least = hardest(scores.detach(), self.hard)[:, -1:]
            negative = torch.cat([negative[:, :rows], negative[:, rows:] & (scores >= least)], dim=1)
        return _softmax(logits, negative)


@dataclass(frozen=True)
class InfoNce:
    """Softmax with a temperature over the batch as it comes, without correction: contrastive learning.

    van den Oord et al. 2018, eq. 4; in both directions as in CLIP (Radford et al. 2021, figure 3).

    Attributes:
        temperature: divides scores.
        both_ways: whether users are told apart by an item as well.
    """

    temperature: float = 0.1
    both_ways: bool = True
    drawn: ClassVar[int] = 0

    def __post_init__(self) -> None:
        _positive(self, "temperature", self.temperature)

    def __call__(self, pairs: Pairs) -> Tensor:
        """Mean loss."""
        logits = _logits(pairs, self.temperature, None)
        of_items = _softmax(logits, pairs.negative)
        return (of_items + _softmax(logits.T, pairs.negative.T)) / 2 if self.both_ways else of_items


@dataclass(frozen=True)
class Bpr:
    """Pairwise: the item taken shall score above uniform ones (Rendle et al. 2009, section 4).

    Attributes:
        drawn: uniform items per batch, each against every row.
        hard: share of them, those that a row scores highest, which are its negatives (dynamic negative sampling:
            Zhang et al. 2013); 1 takes all.
        temperature: divides scores.
    """

    drawn: int = 1024
    hard: float = 1.0
    temperature: float = 0.1

    def __post_init__(self) -> None:
        _positive(self, "temperature", self.temperature)
        _check_drawn(self, self.drawn, self.hard)

    def __call__(self, pairs: Pairs) -> Tensor:
        """Mean loss over rows and their negatives."""
        rows = len(pairs.users)
        own = exact((pairs.users * pairs.items[:rows]).sum(-1, keepdim=True)) / self.temperature  # [B, 1]
        others = exact(pairs.users / self.temperature @ pairs.items[rows:].T)  # [B, M]
        negative = pairs.negative[:, rows:]
        if self.hard < 1:
            others = hardest(others.masked_fill(~negative, -torch.inf), self.hard)
            negative = others > -torch.inf
        losses = F.softplus((others - own).masked_fill(~negative, -torch.inf))  # 0 where there is no negative
        return losses.sum() / negative.sum().clamp_min(1)


def sampled_softmax(own: Tensor, others: Tensor, negative: Tensor) -> Tensor:
    """Cross-entropy of logits own [B] against a sample of others [B, M], where negative; 0 where none is.

    Logits are corrected already: less the log-probability of each item in the sample.
    """
    floor = torch.finfo(others.dtype).min / 2  # finite, or rows without a negative had no gradient
    return F.softplus(others.masked_fill(~negative, floor).logsumexp(1) - own).mean()


def hardest(scores: Tensor, share: float) -> Tensor:
    """The highest share of scores [B, M] of each row, at least one, in falling order [B, ceil(share M)]."""
    return scores.topk(max(1, math.ceil(share * scores.shape[1])), dim=1).values


def _logits(pairs: Pairs, temperature: float, log_q: Tensor | None) -> Tensor:
    """Scores [B, B + M], corrected by `log_q` [B + M] if given."""
    logits = exact(pairs.users / temperature @ pairs.items.T)
    return logits if log_q is None else logits - log_q


def _softmax(logits: Tensor, negative: Tensor) -> Tensor:
    """Mean cross-entropy of column i in row i against its negatives, both [B, C]."""
    left_out = (~negative).to(logits.dtype).fill_diagonal_(0)
    # adding costs a third of filling a mask, and a logit this low has neither probability nor gradient
    return F.cross_entropy(logits + left_out * _NEVER, torch.arange(len(logits), device=logits.device))


def _positive(owner: object, name: str, value: float) -> None:
    if not value > 0:
        raise ConfigError(f"{type(owner).__name__}.{name} must be above 0, got {value}")


def _check_drawn(owner: object, drawn: int, hard: float) -> None:
    if drawn < 1:
        raise ConfigError(f"{type(owner).__name__}.drawn must be at least 1, got {drawn}")
    if not 0 < hard <= 1:
        raise ConfigError(f"{type(owner).__name__}.hard must be above 0 and at most 1, got {hard}")
