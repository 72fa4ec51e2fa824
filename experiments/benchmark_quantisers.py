"""Time and memory of tokenizers without training on a large catalogue of made-up features.

    python experiments/benchmark_quantisers.py rqkmeans --items 1000000 --threads 2
    python experiments/benchmark_quantisers.py product --levels 32
    python experiments/benchmark_quantisers.py hierarchical --alike 0.3

Features are 2,000 Gaussian blobs; with --alike, that share of items has no features at all, so that all of them are
the same. `tokenize` is measured as a whole: codebooks, codes, collisions, error. Memory is what the process holds at
most beyond the features; one tokenizer per run, because a process's peak does not fall again.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from genrec.tokenizer.base import Tokenizer
from genrec.tokenizer.collisions import UniqueAssignment, collision_rate
from genrec.tokenizer.hierarchical import HierarchicalKMeans
from genrec.tokenizer.product import ProductQuantiser
from genrec.tokenizer.rqkmeans import RqKMeans

TOKENIZERS: dict[str, Callable[[int, int], Tokenizer]] = {
    "rqkmeans": RqKMeans,
    "product": ProductQuantiser,
    "hierarchical": HierarchicalKMeans,
}
BLOBS, BLOCK = 2_000, 65_536


def features(n: int, width: int, alike: float) -> Tensor:
    """Float32 [n, width], made in blocks."""
    g = torch.Generator().manual_seed(0)
    places = 1.5 * torch.randn(BLOBS, width, generator=g)
    x = torch.empty(n, width)
    for block in torch.split(x, BLOCK):
        block.normal_(generator=g)
        block += places[torch.randint(BLOBS, (len(block),), generator=g)]
        block[torch.rand(len(block), generator=g) < alike] = 0.0
    return x


def peak() -> float:
    """Most memory that the process has held so far, in GB."""
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tokenizer", choices=TOKENIZERS)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--codes", type=int, default=256)
    parser.add_argument("--levels", type=int, default=3)
    parser.add_argument("--alike", type=float, default=0.0, help="share of items without features")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    x = features(given.items, given.width, given.alike)
    before = peak()
    wall, processor = time.perf_counter(), time.process_time()
    made = TOKENIZERS[given.tokenizer](given.codes, given.levels).tokenize(x, UniqueAssignment())
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    raw = made.codes if made.raw is None else made.raw
    print(
        f"{given.tokenizer} {given.levels} x {given.codes}, {given.items:,} x {given.width}, {given.threads} threads: "
        f"{wall:.0f} s ({processor:.0f} s of processor time), {peak() - before:.2f} GB beyond {x.nbytes / 1e9:.2f} GB "
        f"of features\nerror {made.error_by_depth[-1]:.4f}, collisions before {collision_rate(raw, made.sizes):.2%}, "
        f"after {collision_rate(made.codes, made.sizes):.2%}, moved {np.mean((made.codes != raw).any(1)):.2%}"
    )


if __name__ == "__main__":
    main()
