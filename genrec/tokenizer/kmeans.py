"""k-means with k-means++ seeding, in blocks; the start of every learned codebook.

Source: Arthur & Vassilvitskii 2007, "k-means++: The advantages of careful seeding".
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

BLOCK = 16_384  # rows whose distances are held at once: 16 MB for 256 centres
ROWS_PER_CENTRE = (
    512  # a mean of so many rows is off by 1/512 of the cluster's variance: more rows change nothing
)


def squared_distances(x: Tensor, centres: Tensor) -> Tensor:
    """Squared Euclidean distances: x [M, D], centres [K, D] -> [M, K], at least in float32, autocast or not.

    The squares are expanded so that a matrix product does the work. That loses digits when the vectors are
    long compared with their distances; taking the mean of x as the origin keeps them short.
    """
    with torch.autocast(x.device.type, enabled=False):
        precise = torch.promote_types(x.dtype, torch.float32)
        origin = x.detach().to(precise).mean(0)
        x, centres = x.to(precise) - origin, centres.to(precise) - origin
        squares = x.square().sum(1, keepdim=True) + centres.square().sum(1)
        return torch.addmm(squares, x, centres.T, alpha=-2).clamp_min_(0.0)


def nearest(x: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest centre of each row: (index int64 [M], squared distance [M])."""
    parts = [squared_distances(block, centres).min(1) for block in torch.split(x, BLOCK)]
    return torch.cat([p.indices for p in parts]), torch.cat([p.values for p in parts])


def sample(x: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Rows enough to fit k centres to: x [M, D] itself, or a random part of it, drawn without replacement."""
    wanted = ROWS_PER_CENTRE * k
    if len(x) <= wanted:
        return x
    return x[torch.randperm(len(x), generator=generator)[:wanted]]


def plus_plus(x: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """k rows of x [M, D] as first centres, far from each other.

    Candidates for each are drawn with probability proportional to their squared distance from the earlier
    ones; the best of 2 + log k candidates is taken (the greedy variant that the paper's authors recommend).
    """
    centred = x - x.mean(0)
    squares = centred.square().sum(1, keepdim=True)

    def distances(rows: Tensor) -> Tensor:
        both = squares + squares[rows, 0]
        return torch.addmm(both, centred, centred[rows].T, alpha=-2).clamp_min_(0.0)

    chosen = torch.randint(len(x), (1,), generator=generator)
    distance = distances(chosen)[:, 0]
    picks = [chosen]
    trials = 2 + int(log(k))
    for _ in range(k - 1):
        mass = distance.double().cumsum(0)
        if mass[-1] > 0:
            target = torch.rand(trials, generator=generator, dtype=torch.float64) * mass[-1]
            candidates = torch.searchsorted(mass, target, right=True).clamp_max(len(x) - 1)
            left = torch.minimum(distance[:, None], distances(candidates))  # [M, trials]
            best = left.sum(0).argmin(0, keepdim=True)
            chosen, distance = candidates[best], left[:, best].squeeze(1)
        else:  # fewer distinct rows than centres: repeat rows, later marked as dead codes
            chosen = torch.randint(len(x), (1,), generator=generator)
        picks.append(chosen)
    return x[torch.cat(picks)].clone()


def lloyd(x: Tensor, centres: Tensor, iterations: int) -> Tensor:
    """Lloyd's algorithm: centres [k, D] move to the means of their rows of x [M, D], `iterations` times at most.

    A centre that loses all its rows moves to the row that is worst served, so that codes are not left dead
    while there are distinct rows to take.
    """
    k = len(centres)
    for _ in range(iterations):
        index, distance = nearest(x, centres)
        counts = torch.bincount(index, minlength=k)
        sums = torch.zeros_like(centres).index_add_(0, index, x)
        moved = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], centres)
        empty = torch.nonzero(counts == 0)[:, 0]
        worst = distance.topk(min(len(empty), len(x))).indices
        moved[empty[: len(worst)]] = x[worst]
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres


def kmeans(x: Tensor, k: int, *, iterations: int, generator: torch.Generator) -> Tensor:
    """Lloyd's algorithm from a k-means++ start, on all rows that it is given (see `sample`).

    Args:
        x: float32 [M, D], on the CPU.
        k: number of centres; may exceed M, then centres repeat.

    Returns:
        Centres [k, D].
    """
    return lloyd(x, plus_plus(x, k, generator), iterations)
