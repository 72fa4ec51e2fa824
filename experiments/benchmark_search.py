"""Time and memory of the tree of valid ids and of the search over it, on random ids and random logits.

    OMP_NUM_THREADS=1 python experiments/benchmark_search.py

prints the median over repetitions, which take turns with each other so that a busy machine slows all alike.
Logits are drawn beforehand: the model's own time is not in the figures.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from statistics import median

import numpy as np
import torch
from torch import Tensor

from genrec.generative.search import beam_search, exact_search
from genrec.generative.seen import ClosedNodes
from genrec.generative.tree import CodeTree

LEVELS, CODES = 4, 256
USERS, K, SEEN = 64, 50, 100  # requests per search, length of the lists, items each has seen
ITEMS, WIDTHS = (10_000, 100_000, 1_000_000), (10, 50, 100)
EXACT_ITEMS, EXACT_LEVELS = 2_000, 3  # exact search holds logits of every node


class RandomLogits:
    """Answers with parts of one block of random numbers, whatever it is asked.

    Args:
        rows: B.
        beams: most beams it will be asked for.
    """

    def __init__(self, rows: int, beams: int) -> None:
        self.block = torch.randn(rows, beams, CODES, generator=torch.Generator().manual_seed(0))

    def start(self) -> Tensor:
        """Logits of the first code [B, 1, K]."""
        return self.block[:, :1]

    def advance(self, level: int, parent: Tensor, code: Tensor) -> Tensor:
        """Logits [B, W, K]."""
        return self.block[:, : code.shape[1]]


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="repetitions (default: %(default)s)")
    repeats = parser.parse_args().repeats
    rng = np.random.default_rng(0)
    codes = {n: rng.integers(0, CODES, size=(n, LEVELS), dtype=np.int32) for n in ITEMS}
    sizes = (CODES,) * LEVELS
    built = medians({str(n): lambda n=n: CodeTree.of(codes[n], sizes) for n in ITEMS}, repeats)  # type: ignore[misc]
    trees = {n: CodeTree.of(codes[n], sizes) for n in ITEMS}
    print(f"tree of {LEVELS} levels x {CODES} codes\n{'items':>10} {'build':>10} {'memory':>10}")
    for n in ITEMS:
        print(f"{n:>10,} {built[str(n)]:>8.3f} s {trees[n].nbytes / 1e6:>7.1f} MB")

    small = CodeTree.of(
        rng.integers(0, CODES, size=(EXACT_ITEMS, EXACT_LEVELS), dtype=np.int32), (CODES,) * EXACT_LEVELS
    )
    jobs = {f"{n:,} items, beam {w}": search(trees[n], w, rng) for n in ITEMS for w in WIDTHS}
    jobs |= {f"{EXACT_ITEMS:,} items, beam {w}": search(small, w, rng) for w in WIDTHS}
    jobs[f"{EXACT_ITEMS:,} items, exact"] = search(small, None, rng)
    print(
        f"\n{K} items for {USERS} users, {SEEN} seen items masked\n{'search':>26} {'time':>10} {'users/s':>9}"
    )
    for name, seconds in medians(jobs, repeats).items():
        print(f"{name:>26} {1000 * seconds:>7.1f} ms {USERS / seconds:>9,.0f}")


def search(tree: CodeTree, width: int | None, rng: np.random.Generator) -> Callable[[], object]:
    """A search of a width (None is exact) to be timed, the masking of histories included."""
    row = torch.arange(USERS).repeat_interleave(SEEN)
    item = torch.from_numpy(rng.integers(0, tree.n_items, size=USERS * SEEN))
    largest = max(tree.n_nodes(level) for level in range(tree.n_levels))
    scorer = RandomLogits(USERS, largest if width is None else width)

    def run() -> object:
        closed = ClosedNodes.of(tree, row, item)
        if width is None:
            return exact_search(scorer, tree, k=K, closed=closed)
        return beam_search(scorer, tree, width=width, k=K, closed=closed)

    return run


def medians(jobs: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each job; jobs take turns, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeats + 1):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            seconds[name].append(time.perf_counter() - start)
    return {name: median(values[1:]) for name, values in seconds.items()}


if __name__ == "__main__":
    main()
