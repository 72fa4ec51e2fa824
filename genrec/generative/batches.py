"""Training batches: windows of histories, packed by token budget, planned from (seed, epoch) alone.

The plan of an epoch is a pure function of the seed and the epoch's number, so a resumed run needs no state to
continue with exactly the batch it would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genrec.data.histories import Histories
from genrec.errors import ConfigError, DataError

OVERLAP = 4  # a window that continues a long history re-reads about max_length / OVERLAP items as context


@dataclass(frozen=True)
class Windows:
    """Slices of the flat history array.

    Attributes:
        start: int64 [n], index of the first item.
        length: int64 [n].
        first: int64 [n], position within the window of its first target.
    """

    start: NDArray[np.int64]
    length: NDArray[np.int64]
    first: NDArray[np.int64]


def windows(histories: Histories, max_length: int) -> Windows:
    """Cut every history into windows such that every item is a target once.

    A window holds at most `max_length + 1` items: a target that has `max_length` before it, so that the model
    is trained on histories as long as it will read.
    """
    if max_length < OVERLAP:
        raise ConfigError(f"Timeline.max_length must be at least {OVERLAP}, got {max_length}")
    lengths, longest = histories.lengths, max_length + 1
    stride = longest - max_length // OVERLAP
    count = np.where(lengths > longest, 1 + -(-(lengths - longest) // stride), np.minimum(lengths, 1))
    user = np.repeat(np.arange(len(lengths)), count)
    nth = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)
    begin = np.maximum(np.minimum(nth * stride, lengths[user] - longest), 0)
    covered = np.where(nth > 0, (nth - 1) * stride + longest, 0)  # items that earlier windows end at
    length = np.minimum(lengths[user] - begin, longest)
    return Windows(histories.offsets[user] + begin, length, covered - begin)


class BatchPlan:
    """Batches of windows of similar length, about `tokens` padded tokens and at most `rows` windows each.

    Lengths are jittered anew every epoch, so that batches mix differently. Every epoch has the same number of
    batches: where to cut is decided once, on the true lengths, which makes the budget exact up to the jitter.

    Args:
        histories: training histories.
        max_length: longest history the model reads; a window holds one item more, its last target.
        tokens: budget of padded tokens per batch.
        rows: most windows per batch.
        seed: of the shuffles.
    """

    JITTER = 0.15

    def __init__(self, histories: Histories, *, max_length: int, tokens: int, rows: int, seed: int) -> None:
        if tokens <= max_length:
            raise ConfigError(
                f"train.batch_tokens ({tokens}) must be larger than Timeline.max_length ({max_length}), so that "
                "the longest history and its target fit into a batch"
            )
        if rows < 1:
            raise ConfigError(f"train.batch_size must be at least 1, got {rows}")
        self.histories = histories
        self.windows = windows(histories, max_length)
        if not len(self.windows.start):
            raise DataError("no training histories; the training part of the split is empty")
        self.seed = seed
        self.cuts = _cuts(np.sort(self.windows.length)[::-1], tokens, rows)
        self._epoch = -1
        self._batches: list[NDArray[np.int64]] = []

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which every window occurs once."""
        return len(self.cuts) + 1

    def _plan(self, epoch: int) -> list[NDArray[np.int64]]:
        """Windows of each batch of an epoch."""
        if epoch != self._epoch:
            rng = np.random.default_rng([self.seed, epoch])
            jittered = self.windows.length * (1 + self.JITTER * rng.random(len(self.windows.length)))
            batches = np.split(np.argsort(-jittered), self.cuts)
            self._batches = [batches[i] for i in rng.permutation(len(batches))]
            self._epoch = epoch
        return self._batches

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step (0, 1, ...): (window int64 [B, T] padded with -1, first int64 [B])."""
        epoch, within = divmod(step, self.steps_per_epoch)
        rows = self._plan(epoch)[within]
        length = self.windows.length[rows]
        column = np.arange(int(length.max()))
        index = np.minimum(self.windows.start[rows, None] + column, len(self.histories.items) - 1)
        items = np.where(column < length[:, None], self.histories.items[index], -1)
        return torch.from_numpy(items.astype(np.int64)), torch.from_numpy(self.windows.first[rows])


def _cuts(lengths: NDArray[np.int64], tokens: int, rows: int) -> list[int]:
    """Where to cut windows, longest first, such that each part pads to at most `tokens`."""
    cuts = [0]
    while cuts[-1] < len(lengths):
        cuts.append(cuts[-1] + max(1, min(rows, tokens // int(lengths[cuts[-1]]))))
    return cuts[1:-1]
