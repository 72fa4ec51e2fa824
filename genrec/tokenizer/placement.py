"""Placing items under tree nodes whose children take only so many: greedily, or at the least total cost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from genrec.tokenizer.space import Codes, Rows

BLOCK = 16_384  # rows whose costs are held at once

Costs = Callable[[Rows], NDArray[np.float32]]
"""What each code would cost some rows: int64 [M] -> float32 [M, K], finite, the caller's to change."""


def cheapest(costs: Costs, n: int) -> Codes:
    """Cheapest code of each of n rows."""
    parts = [costs(np.arange(start, min(start + BLOCK, n))).argmin(1) for start in range(0, n, BLOCK)]
    return np.concatenate([np.empty(0, dtype=np.int64), *parts]).astype(np.int32)


def spread(costs: Costs, code: Codes, parent: Rows, free: NDArray[np.int64]) -> Codes:
    """Greedy: an overfull child keeps the rows that would lose most elsewhere, the rest go to open siblings.

    A child closes when it overflows, so there are at most as many rounds as codes.

    Args:
        code: int32 [n], where each row would rather be.
        parent: int64 [n], in 0 .. P - 1.
        free: int64 [P, K], how many rows each child takes.

    Returns:
        Code of each row int32 [n]; -1 where all children of its parent are full.
    """
    n_codes = free.shape[1]
    room = free.ravel()
    closed = free <= 0
    code = code.copy()
    while True:
        placed = np.flatnonzero(code >= 0)
        child = parent[placed] * n_codes + code[placed]
        over = np.bincount(child, minlength=len(room)) > room
        if not over.any():
            return code
        closed |= over.reshape(closed.shape)
        rows, child = placed[over[child]], child[over[child]]
        other, regret = _elsewhere(costs, rows, code[rows], closed, parent[rows])
        order = np.lexsort((-regret, child))
        ranked = child[order]
        rank = np.arange(len(rows)) - np.searchsorted(ranked, ranked)
        leaving = order[rank >= room[ranked]]
        code[rows[leaving]] = other[leaving]


def _elsewhere(
    costs: Costs, rows: Rows, code: Codes, closed: NDArray[np.bool_], parent: Rows
) -> tuple[Codes, NDArray[np.float32]]:
    """The cheapest open sibling of each row, -1 if there is none, and how much more it costs [M]."""
    other = np.empty(len(rows), dtype=np.int32)
    regret = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), BLOCK):
        some = slice(start, start + BLOCK)
        cost = costs(rows[some])
        line = np.arange(len(cost))
        own = cost[line, code[some]]
        cost[closed[parent[some]]] = np.inf
        best = cost.argmin(1)
        least = cost[line, best]
        other[some] = np.where(np.isfinite(least), best, -1)
        regret[some] = least - own
    return other, regret


def match(costs: Costs, parent: Rows, free: NDArray[np.int64]) -> Codes:
    """One row per child, at the least total cost under every parent (Hungarian algorithm).

    Args:
        parent: int64 [n], in 0 .. P - 1; none with more rows than free children.
        free: int64 [P, K], 1 where a child takes a row, else 0.

    Returns:
        Code of each row int32 [n].
    """
    code = np.empty(len(parent), dtype=np.int32)
    order = np.argsort(parent, kind="stable")
    starts = np.flatnonzero(np.diff(parent[order], prepend=-1))
    stops = np.append(starts[1:], len(order))
    block = starts // BLOCK
    for group in np.split(np.arange(len(starts)), np.flatnonzero(np.diff(block)) + 1):
        if not len(group):
            continue
        first = starts[group[0]]
        cost = costs(order[first : stops[group[-1]]])
        for one in group:
            rows = order[starts[one] : stops[one]]
            open_codes = np.flatnonzero(free[parent[rows[0]]] > 0)
            own = cost[starts[one] - first : stops[one] - first, open_codes]
            code[rows] = open_codes[linear_sum_assignment(own)[1]]
    return code
