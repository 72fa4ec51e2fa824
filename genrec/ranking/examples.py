"""Rows as batches: what a model reads and what it should say, in an order that depends on seed and epoch only."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genrec.errors import ConfigError, DataError
from genrec.ranking.fields import Batch
from genrec.ranking.losses import Targets
from genrec.ranking.rows import Rows

BLOCK = 16_384
"""Rows that are made features of at once."""


class Examples:
    """Rows with their labels, as features.

    Features of all rows are made once and kept where they fit into `memory`; else, batch by batch.

    Args:
        transform: makes the features of rows: that of a fitted schema.
        rows: with or without labels.
        memory: bytes for features that are kept; 0 keeps none.
    """

    def __init__(self, transform: Callable[[Rows], Batch], rows: Rows, *, memory: int = 2 << 30) -> None:
        self.transform, self.rows = transform, rows
        self.kept = self._all() if memory and len(rows) and self._bytes() <= memory else None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> NDArray[np.float32]:
        """Of all rows [R].

        Raises:
            DataError: the rows have none.
        """
        if self.rows.labels is None:
            raise DataError("rows without labels cannot be learned from; give them labels when they are made")
        return self.rows.labels

    @property
    def groups(self) -> NDArray[np.integer]:
        """Rows that compete have the same number [R]: their group, or else their user."""
        return self.rows.users if self.rows.groups is None else self.rows.groups

    def features(self, rows: Tensor) -> Batch:
        """Features of some rows, int64 [B]."""
        if self.kept is None:
            return self.transform(self.rows.take(rows.numpy()))
        return {name: one[rows] for name, one in self.kept.items()}

    def targets(self, rows: Tensor) -> Targets:
        """What they should be.

        Raises:
            DataError: the rows have no labels.
        """
        at, weights = rows.numpy(), self.rows.weights
        return Targets(
            torch.from_numpy(self.labels[at]),
            torch.from_numpy(self.groups[at].astype(np.int64)),
            None if weights is None else torch.from_numpy(weights[at]),
            {name: torch.from_numpy(one[at]) for name, one in self.rows.tasks.items()},
        )

    def blocks(self, size: int = BLOCK) -> Iterator[Batch]:
        """Features of all rows, in order, at most `size` of them at once."""
        for start in range(0, len(self), size):
            yield self.features(torch.arange(start, min(start + size, len(self))))

    def _bytes(self) -> int:
        """Of the features of all rows, by those of the first."""
        sample = self.transform(self.rows.take(slice(0, 1)))
        return len(self.rows) * sum(one.numel() * one.element_size() for one in sample.values())

    def _all(self) -> Batch:
        """Features of all rows, made block by block so that nothing is held twice."""
        kept: Batch = {}
        for start in range(0, len(self.rows), BLOCK):
            stop = min(start + BLOCK, len(self.rows))
            for name, one in self.transform(self.rows.take(slice(start, stop))).items():
                if name not in kept:
                    kept[name] = one.new_empty((len(self.rows), *one.shape[1:]))
                kept[name][start:stop] = one
        return kept


class Epochs:
    """Every row once per epoch, in random order, cut into parts whose sizes differ by one at most.

    Args:
        n: rows, at least one.
        size: most rows of a batch.
        seed: of the orders.
        groups: int [n]; rows of a group then stay together, so that they meet in a batch (groups at the ends of a batch
            may be cut in two). None shuffles row by row.
    """

    def __init__(self, n: int, size: int, seed: int, groups: NDArray[np.integer] | None = None) -> None:
        if n < 1:
            raise DataError(
                "there is no row to learn from; check the dataset, the split and the rule for labels"
            )
        if size < 1:
            raise ConfigError(f"train.batch_size must be at least 1, got {size}")
        self.n, self.seed = n, seed
        self.steps_per_epoch = -(-n // size)
        self._groups = None if groups is None else np.unique(groups, return_inverse=True)[1]
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    @property
    def rows_per_step(self) -> float:
        """In the mean."""
        return self.n / self.steps_per_epoch

    def rows(self, step: int) -> Tensor:
        """Rows of the batch of a step, int64 [B]; the same whatever was asked for before."""
        epoch, part = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, torch.from_numpy(self._shuffled(epoch))
        first, last = (self.n * place // self.steps_per_epoch for place in (part, part + 1))
        return self._order[first:last]

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        rng = np.random.default_rng((self.seed, epoch))
        order = rng.permutation(self.n)
        if self._groups is None or not self.n:
            return order
        place = rng.permutation(int(self._groups.max()) + 1)  # of each group
        return order[np.argsort(place[self._groups[order]], kind="stable")]
