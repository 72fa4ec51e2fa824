"""The ground that all contenders share: sizes, data, jobs, clocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genrec.data.histories import Histories
from genrec.data.load import load_dataset
from genrec.data.splits import LeaveOneOut
from genrec.generative.base import Window
from genrec.generative.batches import cut, newest
from genrec.generative.tree import CodeTree

FEED, HEADS, HEAD_WIDTH, LAYERS, DROPOUT = 1024, 6, 64, 4, 0.1  # the encoder-decoder of the TIGER paper (§4)
CLOCKS = ("wall", "cpu")
USER_TOKENS = 2000  # users are hashed into as many tokens, same section
FEATURES, HIDDEN, LATENT, QUANTISERS = 768, (512, 256, 128), 32, 3  # the RQ-VAE of the TIGER paper (§3.1)
COMMITMENT = 0.25


@dataclass(frozen=True)
class Sizes:
    """How large the comparisons are.

    Attributes:
        items: N, where there is no data set to take it from.
        levels: L of the ids that are generated.
        codes: K of every level.
        users: synthetic histories, where there is no data set.
        width: D of all models.
        history: most items a model reads.
        rows: training examples in a batch of the encoder-decoders.
        batches: of them in a repeat.
        tokens: padded items in a batch of `timeline`.
        requests: B of a search.
        beams: W.
        quantised: rows in a batch of the residual quantisers.
        quantiser_steps: training steps in a repeat.
        vectors: rows that k-means is fitted to.
        dimensions: their width.
        iterations: of k-means, for those that can be told.
    """

    items: int = 12_101
    levels: int = 4
    codes: int = 256
    users: int = 20_000
    width: int = 128
    history: int = 20
    rows: int = 128
    batches: int = 3
    tokens: int = 4096
    requests: int = 32
    beams: int = 50
    quantised: int = 640
    quantiser_steps: int = 10
    vectors: int = 100_000
    dimensions: int = 128
    iterations: int = 10


FULL = Sizes()
QUICK = Sizes(rows=32, tokens=2048, requests=8, quantiser_steps=4, vectors=10_000)
TINY = Sizes(
    items=60, codes=8, users=50, width=8, history=6, rows=4, batches=1, tokens=64, requests=2, beams=3,
    quantised=32, quantiser_steps=1, vectors=300, dimensions=8, iterations=2,
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """Something to be timed.

    Attributes:
        name: in the table.
        run: does it once.
        work: how many units of the section's work that is.
        note: sizes, settings, batches.
        own: whether it is genrec's, to which the others are compared.
        quality: of what `run` returned, where speed alone would mislead.
    """

    name: str
    run: Callable[[], Any]
    work: float
    note: str = ""
    own: bool = False
    quality: Callable[[Any], str] | None = None


@dataclass(frozen=True)
class Result:
    """A job's median seconds per unit of work: on the wall, and of the processor (summed over threads)."""

    job: Job
    wall: float
    cpu: float
    quality: str = ""

    def seconds(self, clock: str) -> float:
        """By `wall` or `cpu`."""
        return max(self.wall if clock == "wall" else self.cpu, 1e-9)  # of nothing there is no ratio


def measure(jobs: Sequence[Job], repeats: int) -> list[Result]:
    """Medians over rounds in which jobs take turns, after one round that does not count."""
    wall: list[list[float]] = [[] for _ in jobs]
    cpu: list[list[float]] = [[] for _ in jobs]
    outcome: list[Any] = [None] * len(jobs)
    for _ in range(repeats + 1):
        for number, job in enumerate(jobs):
            begun, used = time.perf_counter(), time.process_time()
            outcome[number] = job.run()
            cpu[number].append((time.process_time() - used) / job.work)
            wall[number].append((time.perf_counter() - begun) / job.work)
    return [
        Result(job, median(wall[i][1:]), median(cpu[i][1:]), job.quality(outcome[i]) if job.quality else "")
        for i, job in enumerate(jobs)
    ]


@dataclass(frozen=True)
class Batch:
    """Training examples of an encoder-decoder.

    Attributes:
        history: int64 [B, T], padded at the end with -1.
        users: int64 [B].
        target: int64 [B], the item that follows.
        window: the same as genrec takes it, histories with the target behind them.
        first: int64 [B], the position of the target there.
    """

    history: Tensor
    users: Tensor
    target: Tensor
    window: Window
    first: Tensor


class World:
    """Histories, a catalogue with semantic ids, and batches and requests drawn from them.

    Args:
        sizes: of everything.
        folder: of Amazon Beauty; where there is none, histories of the same distribution of lengths are drawn.
    """

    def __init__(self, sizes: Sizes, folder: Path) -> None:
        self.sizes = sizes
        self.source = "Amazon Beauty" if folder.is_dir() else "synthetic histories"
        self.histories = _beauty(folder) if folder.is_dir() else _synthetic(sizes)
        self.level_sizes = (sizes.codes,) * sizes.levels
        codes = _skewed_codes(self.histories.n_items, sizes)
        self.tree = CodeTree.of(codes, self.level_sizes)
        self.codes = torch.from_numpy(codes)  # int64 [N, L]

    @cached_property
    def requests(self) -> Window:
        """The newest items of random users [B, T]."""
        rng = np.random.default_rng(1)
        users = rng.choice(self.histories.n_users, self.sizes.requests, replace=False)
        return newest(self.histories, users, self.sizes.history)

    @cached_property
    def logits(self) -> Tensor:
        """Random, for searches without a model [B, W, K]."""
        shape = (self.sizes.requests, self.sizes.beams, self.sizes.codes)
        return torch.randn(shape, generator=torch.Generator().manual_seed(0))

    def best_score(self, scores: Tensor) -> str:
        """Whether searches over these logits agree: the mean log-probability of what they found [B, k]."""
        return f"log-probability {float(scores.mean()):.4f}"

    @cached_property
    def _examples(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Every item with a history: (index of the item in the flat array, items before it, user)."""
        lengths = self.histories.lengths
        user = np.repeat(np.arange(len(lengths)), lengths)
        place = np.arange(len(user)) - self.histories.offsets[user]
        index = np.flatnonzero(place > 0)
        return index, np.minimum(place[index], self.sizes.history), user[index]

    def batches(self, *, bucketed: bool, count: int) -> list[Batch]:
        """Examples of all lengths.

        Args:
            bucketed: each batch has examples of about one length, and the batches are spread evenly over the
                examples in the order of their lengths; else examples are drawn at random.
            count: of batches.
        """
        index, length, user = self._examples
        rows, rng = min(self.sizes.rows, len(index)), np.random.default_rng(2)
        shuffled = rng.permutation(len(index))
        if bucketed:
            ordered = shuffled[np.argsort(length[shuffled], kind="stable")]
            begins = ((np.arange(count) + 0.5) / count * (len(index) - rows)).astype(np.int64)
            chosen = [ordered[begin : begin + rows] for begin in begins]
        else:
            chosen = [rng.choice(shuffled, rows, replace=False) for _ in range(count)]
        return [self._batch(index[some], length[some], user[some]) for some in chosen]

    def _batch(self, index: NDArray[np.int64], length: NDArray[np.int64], user: NDArray[np.int64]) -> Batch:
        window = cut(self.histories, user, index - length, length + 1)
        return Batch(
            history=cut(self.histories, user, index - length, length).items,
            users=window.users,
            target=torch.from_numpy(np.asarray(self.histories.items[index], dtype=np.int64)),
            window=window,
            first=torch.from_numpy(length),
        )

    @cached_property
    def features(self) -> Tensor:
        """A batch for the residual quantisers: a mixture of Gaussians [B, 768]."""
        return _mixture(self.sizes.quantised * 4, FEATURES, 100)

    @cached_property
    def vectors(self) -> Tensor:
        """What k-means is fitted to: a mixture of Gaussians [M, D]."""
        return _mixture(self.sizes.vectors, self.sizes.dimensions, 1000)


def optimiser(model: nn.Module) -> torch.optim.Optimizer:
    """The same for everyone."""
    return torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)


def steps(model: nn.Module, losses: Sequence[Callable[[], Tensor]]) -> Callable[[], None]:
    """Training steps of a model, one per loss."""
    model.train()
    adam = optimiser(model)

    def run() -> None:
        for loss in losses:
            loss().backward()  # type: ignore[no-untyped-call]
            adam.step()
            adam.zero_grad()

    return run


def error_left(vectors: Tensor, codebooks: Sequence[Tensor]) -> str:
    """The share of the variance that a residual quantiser leaves over."""
    residual = vectors
    for book in codebooks:
        parts = torch.split(residual, 65_536)
        residual = torch.cat([part - book[torch.cdist(part, book).argmin(1)] for part in parts])
    spread = (vectors - vectors.mean(0)).square().sum()
    return f"error {float(residual.square().sum() / spread):.3f}"


def millions(model: nn.Module) -> str:
    """Size of a model."""
    return f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f}M parameters"


def _beauty(folder: Path) -> Histories:
    return Histories.of(LeaveOneOut()(load_dataset("amazon-beauty", folder).interactions).train)


def _synthetic(sizes: Sizes) -> Histories:
    """Lengths like those of Beauty's training part: quartiles 3, 4, 7, 95th and 99th percentile 19 and 41."""
    rng = np.random.default_rng(0)
    lengths = 3 + np.minimum(np.exp(rng.normal(0.6, 1.3, sizes.users)), 200).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    items = rng.integers(0, sizes.items, offsets[-1], dtype=np.int32)
    return Histories(offsets, items, sizes.items)


def _skewed_codes(n_items: int, sizes: Sizes) -> NDArray[np.int64]:
    """Distinct ids [N, L] whose codes are as unevenly used as those of k-means (frequency 1 / (rank + K / 8))."""
    rng = np.random.default_rng(3)
    share = 1 / (np.arange(sizes.codes) + sizes.codes / 8)
    drawn = rng.choice(sizes.codes, size=(8 * n_items, sizes.levels), p=share / share.sum())
    distinct = np.unique(drawn, axis=0)
    return distinct[rng.choice(len(distinct), n_items, replace=False)]


def _mixture(rows: int, width: int, centres: int) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    middle = torch.randn(centres, width, generator=generator)
    own = torch.randint(centres, (rows,), generator=generator)
    return middle[own] + 0.5 * torch.randn(rows, width, generator=generator)
