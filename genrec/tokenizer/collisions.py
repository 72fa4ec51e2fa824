"""Collision handling: every item gets an id of its own, none is dropped."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from genrec.errors import ConfigError
from genrec.tokenizer.kmeans import squared_distances
from genrec.tokenizer.residual import encode

Codes = NDArray[np.int32]
MAX_KEY = 2**63 - 1


class CollisionRule(Protocol):
    """Turns latents and codebooks into unique codes."""

    def check(self, sizes: Sequence[int], n_items: int) -> None:
        """Raise ConfigError if codebooks of these sizes cannot hold so many items; asked before training."""
        ...

    def __call__(self, latents: Tensor, codebooks: Sequence[Tensor]) -> tuple[Codes, tuple[int, ...]]:
        """Latents [N, D] -> (codes int32 [N, L or L + 1], codebook sizes)."""
        ...


def group_ids(codes: NDArray[np.integer], sizes: Sequence[int]) -> NDArray[np.int64]:
    """One integer per row, equal for equal rows: codes [N, l] as a mixed-radix number.

    Args:
        sizes: codebook sizes of at least l levels; the rest is not looked at.
    """
    key = np.zeros(len(codes), dtype=np.int64)
    span = 1  # keys are below it
    for level in range(codes.shape[1]):
        if span * sizes[level] > MAX_KEY:  # number the prefixes that occur instead of all that could
            found, key = np.unique(key, return_inverse=True)
            span = len(found)
        key = key * sizes[level] + codes[:, level]
        span *= sizes[level]
    return key


def collision_rate(codes: NDArray[np.integer], sizes: Sequence[int]) -> float:
    """Share of items that have the id of another item before them: 1 - distinct ids / items."""
    if not len(codes):
        return 0.0
    return 1.0 - len(np.unique(group_ids(codes, sizes))) / len(codes)


class DeduplicationCode:
    """Appends one more code that counts the items of a colliding group (TIGER §3.1), in item order."""

    def check(self, sizes: Sequence[int], n_items: int) -> None:
        """Any number of items fits."""

    def __call__(self, latents: Tensor, codebooks: Sequence[Tensor]) -> tuple[Codes, tuple[int, ...]]:
        """Latents [N, D] -> (codes int32 [N, L + 1], codebook sizes)."""
        codes = encode(latents, codebooks).numpy().astype(np.int32)
        sizes = tuple(len(book) for book in codebooks)
        key = group_ids(codes, sizes)
        order = np.argsort(key, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(key[order]) != 0])
        lengths = np.diff(np.r_[starts, len(key)])
        extra = np.empty(len(key), dtype=np.int32)
        extra[order] = np.arange(len(key)) - np.repeat(starts, lengths)
        return np.column_stack([codes, extra]), (*sizes, int(extra.max(initial=0)) + 1)


class UniqueAssignment:
    """Moves colliding items to free leaves under the same prefix, at the least total squared distance.

    Levels are assigned from the top. A prefix holds at most as many items as there are leaves below it; the
    rare one that would hold more spills into its siblings. At the last level a leaf holds one item, and the
    items under a prefix with a conflict are placed by minimum-cost matching (Hungarian algorithm). Prefixes
    without conflict keep their nearest codes.
    """

    def check(self, sizes: Sequence[int], n_items: int) -> None:
        """Every item needs a leaf."""
        if prod(sizes) < n_items:
            raise ConfigError(
                f"{n_items} items do not fit into codebooks of {' x '.join(map(str, sizes))} codes; raise "
                "the codebook size or the number of levels"
            )

    def __call__(self, latents: Tensor, codebooks: Sequence[Tensor]) -> tuple[Codes, tuple[int, ...]]:
        """Latents [N, D] -> (codes int32 [N, L], codebook sizes)."""
        sizes = tuple(len(book) for book in codebooks)
        self.check(sizes, len(latents))
        residual = latents
        codes = np.zeros((len(latents), len(sizes)), dtype=np.int32)
        for level, book in enumerate(codebooks):
            cost = squared_distances(residual, book).numpy()  # [N, K]
            parent = group_ids(codes[:, :level], sizes)
            codes[:, level] = _assign(cost, parent, capacity=prod(sizes[level + 1 :]))
            residual = residual - book[torch.from_numpy(codes[:, level].astype(np.int64))]
        return codes, sizes


def _assign(cost: NDArray[np.float32], parent: NDArray[np.int64], capacity: int) -> NDArray[np.int32]:
    """Cheap code per row such that no (parent, code) holds more than `capacity` rows: cost [N, K] -> [N]."""
    _, dense = np.unique(parent, return_inverse=True)
    if capacity > 1:
        return _spill(cost, dense, capacity)
    return _match(cost, dense)


def _spill(cost: NDArray[np.float32], parent: NDArray[np.int64], capacity: int) -> NDArray[np.int32]:
    """Greedy: an overfull child keeps the rows that would lose most elsewhere, the rest go to open siblings."""
    n_codes = cost.shape[1]
    code: Codes = cost.argmin(1).astype(np.int32)
    full = np.zeros((int(parent.max(initial=-1)) + 1) * n_codes, dtype=bool)
    while True:
        child = parent * n_codes + code
        _, group, held = np.unique(child, return_inverse=True, return_counts=True)
        rows = np.flatnonzero((held > capacity)[group])
        if not len(rows):
            return code
        full[child[rows]] = True
        closed = full[parent[rows, None] * n_codes + np.arange(n_codes)]
        elsewhere = np.where(closed, np.inf, cost[rows])
        regret = elsewhere.min(1) - cost[rows, code[rows]]
        order = np.lexsort((-regret, child[rows]))
        sorted_child = child[rows][order]
        first = np.searchsorted(sorted_child, sorted_child)
        leaving = order[np.arange(len(rows)) - first >= capacity]
        code[rows[leaving]] = elsewhere[leaving].argmin(1)


def _match(cost: NDArray[np.float32], parent: NDArray[np.int64]) -> NDArray[np.int32]:
    """One row per leaf, by minimum-cost matching under every parent that has a conflict."""
    n_codes = cost.shape[1]
    code: Codes = cost.argmin(1).astype(np.int32)
    leaf, held = np.unique(parent * n_codes + code, return_counts=True)
    conflicted = np.unique(leaf[held > 1] // n_codes)
    order = np.argsort(parent, kind="stable")
    bounds = np.searchsorted(parent[order], np.stack([conflicted, conflicted + 1]))
    for start, stop in bounds.T:
        rows = order[start:stop]
        code[rows] = linear_sum_assignment(cost[rows])[1]
    return code
