"""Losses of rank models, small classes to bind in gin: by row, by pairs or lists within a user, and over tasks.

A loss is a module, because what weighs the tasks is learned. It gets logits and `Targets`, and gives named scalars,
`loss` among them. `grouped` says whether rows of one user have to meet in a batch for it to learn anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.errors import ConfigError

MAIN = "like"
"""The task that is a row's own label; the first output of every model, by which it ranks."""


@dataclass(frozen=True)
class Targets:
    """What a batch of rows should be.

    Attributes:
        labels: float32 [B], 1 is good and 0 is not.
        groups: int64 [B], equal for rows that compete: those of one user.
        weights: float32 [B] or None where all rows weigh the same.
        tasks: further targets by name, float32 [B], NaN where unknown.
    """

    labels: Tensor
    groups: Tensor
    weights: Tensor | None = None
    tasks: Mapping[str, Tensor] | None = None

    def to(self, device: torch.device) -> Targets:
        """The same there."""
        return Targets(
            self.labels.to(device),
            self.groups.to(device),
            None if self.weights is None else self.weights.to(device),
            {name: one.to(device) for name, one in (self.tasks or {}).items()},
        )


class Loss(nn.Module):
    """Base of the losses of models with one output."""

    grouped: ClassVar[bool] = False

    def forward(self, logits: Tensor, targets: Targets) -> dict[str, Tensor]:
        """Logits [B] (or [B, tasks]) -> scalars, `loss` among them."""
        raise NotImplementedError


class Bce(Loss):
    """Binary cross-entropy of every row: log-likelihood of the labels, so that outputs are probabilities."""

    def forward(self, logits: Tensor, targets: Targets) -> dict[str, Tensor]:
        """The weighted mean over rows of logits [B]."""
        rows = F.binary_cross_entropy_with_logits(logits, targets.labels, reduction="none")
        return {"loss": _mean(rows, targets.weights)}


class BprWithinUser(Loss):
    """Bayesian personalised ranking (Rendle et al. 2009) of every good row against every other row of its user.

    The mean over all such pairs of the batch; zero where there is none. Labels above one half are good.
    """

    grouped = True

    def forward(self, logits: Tensor, targets: Targets) -> dict[str, Tensor]:
        """-ln σ(z_good - z_other), weighted by the good row."""
        good, other = pairs_within(targets.groups, targets.labels > 0.5)
        pairs = -F.logsigmoid(logits[good] - logits[other])
        weights = None if targets.weights is None else targets.weights[good]
        return {"loss": _mean(pairs, weights) if len(pairs) else logits.sum() * 0.0}


class ListwiseSoftmax(Loss):
    """ListNet's top-one loss with binary relevance (Cao et al. 2007): good rows in a softmax over their user's rows.

    The mean over good rows of -ln softmax; users without a good row, or with nothing else, teach nothing.

    Args:
        temperature: the logits are divided by it.
    """

    grouped = True

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        if not temperature > 0:
            raise ConfigError(f"ListwiseSoftmax.temperature must be above 0, got {temperature}")
        self.temperature = temperature

    def forward(self, logits: Tensor, targets: Targets) -> dict[str, Tensor]:
        """The weighted mean over good rows."""
        z = logits / self.temperature
        groups, place = torch.unique(targets.groups, return_inverse=True)
        highest = (
            z.detach().new_full((len(groups),), float("-inf")).scatter_reduce(0, place, z.detach(), "amax")
        )
        above = (z - highest[place]).exp()
        total = z.new_zeros(len(groups)).index_add(0, place, above)  # sums from 1 to the rows of the user
        good = targets.labels > 0.5
        losses = total.log()[place[good]] - (z - highest[place])[good]
        weights = None if targets.weights is None else targets.weights[good]
        return {"loss": _mean(losses, weights) if len(losses) else logits.sum() * 0.0}


def _binary(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(outputs, targets, reduction="none")


def _regression(outputs: Tensor, targets: Tensor) -> Tensor:
    return 0.5 * (outputs - targets).square()


KINDS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"binary": _binary, "regression": _regression}
"""Losses per row of a task by its kind; the halved square is the exponent of a Gaussian of unit variance."""


class UncertaintyWeighted(Loss):
    """Losses of several tasks, weighted by what each leaves uncertain (Kendall et al. 2018, eq. 7 and 10).

    Σ_k exp(-s_k) L_k + s_k / 2 with a learned s_k = ln σ_k² per task: a task that is hard to predict gets less weight,
    and the second term keeps the weights from vanishing. Rows whose target is unknown (NaN) do not count for a task;
    a task that no row of the batch knows adds nothing.

    Args:
        tasks: kind of each task by name, `binary` or `regression`, in the order of the model's outputs. `like` is
            the rows' own label, the others are found by their name among the rows' tasks.
        fixed: weigh all tasks alike instead.
    """

    def __init__(self, tasks: Mapping[str, str], fixed: bool = False) -> None:
        super().__init__()
        unknown = sorted(set(tasks.values()) - set(KINDS))
        if unknown or not tasks:
            raise ConfigError(
                f"UncertaintyWeighted.tasks must map names to {' or '.join(KINDS)}, got {dict(tasks)}"
            )
        self.tasks, self.fixed = dict(tasks), fixed
        self.log_variance = nn.Parameter(torch.zeros(len(tasks)), requires_grad=not fixed)

    def forward(self, logits: Tensor, targets: Targets) -> dict[str, Tensor]:
        """Logits [B, tasks] -> `loss`, and `loss/<task>` before weighting."""
        if logits.shape[1] != len(self.tasks):
            raise ConfigError(
                f"UncertaintyWeighted.tasks names {len(self.tasks)} tasks where the model has {logits.shape[1]} "
                "outputs; name the same tasks in both"
            )
        found: dict[str, Tensor] = {}
        total = logits.new_zeros(())
        for number, (task, kind) in enumerate(self.tasks.items()):
            wanted = task_target(targets, task)
            known = ~wanted.isnan()
            weights = known.to(logits.dtype) if targets.weights is None else targets.weights * known
            rows = KINDS[kind](logits[:, number], torch.where(known, wanted, 0.0))
            loss, s = _mean(rows, weights), self.log_variance[number]
            total = total + torch.where(known.any(), torch.exp(-s) * loss + 0.5 * s, 0.0)
            found[f"loss/{task}"] = loss.detach()
        return {"loss": total, **found}


def task_target(targets: Targets, task: str) -> Tensor:
    """What a task asks for [B]: the label itself where it is called `like`.

    Raises:
        ConfigError: the rows have no such task.
    """
    if task == MAIN:
        return targets.labels
    known = targets.tasks or {}
    if task not in known:
        raise ConfigError(
            f"the rows have no task {task!r}; choose of {', '.join(['like', *known])} or add it where rows are made"
        )
    return known[task]


def pairs_within(groups: Tensor, good: Tensor) -> tuple[Tensor, Tensor]:
    """All pairs of a good row and another one of the same group, without a matrix of all rows by all rows.

    Args:
        groups: int64 [B].
        good: bool [B].

    Returns:
        (good rows int64 [P], other rows int64 [P]), group by group.
    """
    order = (2 * groups + good).argsort(stable=True)  # group by group, the others before the good ones
    place = torch.unique_consecutive(groups[order], return_inverse=True)[1]  # [B], number of the group
    is_good = good[order]
    ones = torch.ones_like(place)
    size = torch.zeros_like(place).index_add(0, place, ones)  # [groups], in the first of B places
    others = size - torch.zeros_like(place).index_add(0, place, is_good.long())
    start = size.cumsum(0) - size
    rows = is_good.nonzero().squeeze(1)
    count = others[place[rows]]  # pairs of each good row
    first = count.cumsum(0) - count
    within = torch.arange(int(count.sum()), device=groups.device) - first.repeat_interleave(count)
    other = start[place[rows]].repeat_interleave(count) + within
    return order[rows.repeat_interleave(count)], order[other]


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return values.mean()
    return (values * weights).sum() / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)
