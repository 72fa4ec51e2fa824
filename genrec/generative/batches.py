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
from genrec.generative.base import Window

OVERLAP = 4  # a window that continues a long history re-reads about max_length / OVERLAP items as context


@dataclass(frozen=True)
class Windows:
    """Slices of the flat history array.

    Attributes:
        user: int64 [n], whose history it is.
        start: int64 [n], index of the first item.
        length: int64 [n].
        first: int64 [n], position within the window of its first target.
    """

    user: NDArray[np.int64]
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
    return Windows(user, histories.offsets[user] + begin, length, covered - begin)


def cut(
    histories: Histories, users: NDArray[np.integer], start: NDArray[np.int64], length: NDArray[np.int64]
) -> Window:
    """Slices of the flat history array as a batch, as wide as the longest, and at least 1.

    Args:
        users: [B], whose history each slice is of.
        start: int64 [B], index of the first item.
        length: int64 [B], 0 for an empty slice.
    """
    column = np.arange(max(int(length.max(initial=0)), 1))
    real = column < length[:, None]
    index = (start[:, None] + column)[real]
    items = np.full(real.shape, -1, dtype=np.int64)
    items[real] = histories.items[index]
    times = None
    if histories.timestamps is not None:
        times = np.zeros(real.shape, dtype=np.int64)
        times[real] = histories.timestamps[index]
    return Window(
        torch.from_numpy(items),
        torch.from_numpy(np.asarray(users, dtype=np.int64)),
        None if times is None else torch.from_numpy(times),
    )


def newest(histories: Histories, users: NDArray[np.integer], max_length: int) -> Window:
    """The last `max_length` items of each user: what a model reads to recommend."""
    stop = np.asarray(histories.offsets[users + 1])
    length = np.minimum(histories.lengths[users], max_length)
    return cut(histories, users, stop - length, length)


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
                f"train.batch_tokens ({tokens}) must be larger than the model's max_length ({max_length}), so that "
                "the longest history and its target fit into a batch"
            )
        if rows < 1:
            raise ConfigError(f"train.batch_size must be at least 1, got {rows}")
        self.histories = histories
        self.windows = self.windows_of(histories, max_length)
        if not len(self.windows.start):
            raise DataError("no training histories; the training part of the split is empty")
        self.seed = seed
        self.cuts = _cuts(np.sort(self.windows.length)[::-1], tokens, rows)
        self._epoch = -1
        self._batches: list[NDArray[np.int64]] = []

    @staticmethod
    def windows_of(histories: Histories, max_length: int) -> Windows:
        """The windows of every epoch."""
        return windows(histories, max_length)

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

    def batch(self, step: int) -> tuple[Window, Tensor]:
        """The batch of a step (0, 1, ...): (B windows, first int64 [B])."""
        return self.part(step, 0, 1)[:2]

    def part(self, step: int, rank: int, size: int) -> tuple[Window, Tensor, float]:
        """What process `rank` of `size` computes of the batch of a step.

        Returns:
            B windows, first int64 [B], and the share of the batch's targets in them. A process for which no window
            is left computes one of another's, with a share of 0, so that all processes do the same things.
        """
        epoch, within = divmod(step, self.steps_per_epoch)
        rows = self._plan(epoch)[within]
        of = self.windows
        mine = balanced(of.length[rows], size) == rank
        targets = (of.length - of.first)[rows]
        share = float(targets[mine].sum() / targets.sum())
        rows = rows[mine] if mine.any() else rows[:1]
        window = cut(self.histories, of.user[rows], of.start[rows], of.length[rows])
        return window, torch.from_numpy(of.first[rows]), share


def balanced(lengths: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """The process (0 .. size - 1) of each window [B]: runs from the longest to the shortest, of equal length in sum."""
    order = np.argsort(-lengths, kind="stable")
    middle = np.cumsum(lengths[order]) - lengths[order] / 2
    process = np.empty(len(lengths), dtype=np.int64)
    process[order] = (middle * (size / lengths.sum())).astype(np.int64)
    return process


def _cuts(lengths: NDArray[np.int64], tokens: int, rows: int) -> list[int]:
    """Where to cut windows, longest first, such that each part pads to at most `tokens`."""
    cuts = [0]
    while cuts[-1] < len(lengths):
        cuts.append(cuts[-1] + max(1, min(rows, tokens // int(lengths[cuts[-1]]))))
    return cuts[1:-1]
