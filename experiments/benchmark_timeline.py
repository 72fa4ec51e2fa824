"""Time of the parts of the `timeline` model, variant against variant, on random histories.

    OMP_NUM_THREADS=1 python experiments/benchmark_timeline.py

prints the median CPU time over repetitions, which take turns with each other so that a busy machine slows all alike:
the trunk with products by torch and by oneDNN and with every way of telling positions, the decoders, and what it
takes to score a whole catalogue of long ids.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Mapping
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.generative import linear
from genrec.generative.attention_decoder import AttentionDecoder
from genrec.generative.decoder import CodeDecoder, Decoder
from genrec.generative.parallel import ParallelDecoder
from genrec.generative.transformer import HistoryEncoder

WIDTH, HEADS, LAYERS, DROPOUT = 128, 4, 2, 0.3
BATCHES = ((64, 16), (128, 16), (256, 16), (20, 200))  # histories x items
LEVELS, CODES, TARGETS = 3, 256, (384, 1024, 4096)
ITEMS, DIGITS, USERS = 12_000, 32, 1_000

Job = Callable[[], object]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="repetitions (default: %(default)s)")
    repeats = parser.parse_args().repeats
    torch.manual_seed(0)
    print(f"CPU time, {torch.get_num_threads()} threads, medians of {repeats}; x is against the first column")
    print(f"trunk forward and backward, width {WIDTH}, {LAYERS} layers, {HEADS} heads")
    for rows, length in BATCHES:
        show(f"{rows} x {length}", medians(trunks(rows, length), repeats))
    print(f"decoder forward and backward, codebooks {LEVELS} x {CODES} ({DIGITS} x {CODES} for parallel)")
    for targets in TARGETS:
        show(f"{targets} targets", medians(decoders(targets), repeats))
    print(f"scores of {ITEMS:,} items of {DIGITS} x {CODES} for {USERS:,} users")
    show("", medians(catalogue(), repeats))
    print(f"peak memory of all: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def trunks(rows: int, length: int) -> dict[str, Job]:
    """A training pass over [rows, length] items with each trunk."""
    x = torch.randn(rows, length, WIDTH, requires_grad=True)
    times = torch.randint(10**7, (rows, length)).cumsum(1)

    def job(positions: str = "absolute", time_intervals: bool = False, onednn: bool = True) -> Job:
        model = HistoryEncoder(WIDTH, HEADS, LAYERS, length, DROPOUT, positions, time_intervals)

        def run() -> None:
            linear.ONEDNN = onednn
            model.zero_grad()
            model(x, times).square().mean().backward()
            linear.ONEDNN = True

        return run

    return {
        "torch": job(onednn=False),
        "oneDNN": job(),
        "rotary": job("rotary"),
        "alibi": job("alibi"),
        "absolute + time": job(time_intervals=True),
        "rotary + time": job("rotary", time_intervals=True),
    }


def decoders(targets: int) -> dict[str, Job]:
    """A training pass over [targets] states with each decoder."""
    sizes, long = (CODES,) * LEVELS, (CODES,) * DIGITS
    state = torch.randn(targets, WIDTH, requires_grad=True)

    def job(decoder: Decoder, levels: int) -> Job:
        codes = torch.randint(CODES, (targets, levels))

        def run() -> None:
            answers = decoder.teacher_forced(state, codes)
            losses = [F.cross_entropy(one.logits, codes[:, i]) for i, one in enumerate(answers)]
            torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]

        return run

    return {
        "mlp": job(CodeDecoder(sizes, WIDTH, DROPOUT), LEVELS),
        "attention": job(AttentionDecoder(sizes, WIDTH, DROPOUT), LEVELS),
        "parallel": job(ParallelDecoder(long, WIDTH, DROPOUT), DIGITS),
    }


def catalogue() -> dict[str, Job]:
    """Scores of every item, by bags of embeddings and by gathering [1, N, L] numbers for a user at a time."""
    decoder = ParallelDecoder((CODES,) * DIGITS, WIDTH, DROPOUT).eval()
    state, codes = torch.randn(USERS, WIDTH), torch.randint(CODES, (ITEMS, DIGITS))
    column = torch.arange(DIGITS)

    @torch.no_grad()
    def gathered() -> Tensor:
        levels = decoder.teacher_forced(state, codes)
        table = torch.stack([one.logits.log_softmax(-1) for one in levels], dim=1)  # [B, L, K]
        return torch.stack([row[column, codes].sum(-1) for row in table])

    return {"gathered": gathered, "item_scores": lambda: decoder.item_scores(state, codes)}


def medians(jobs: Mapping[str, Job], repeats: int) -> dict[str, float]:
    """Median seconds of each job; jobs take turns, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeats + 1):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            seconds[name].append(time.process_time() - start)
    return {name: median(values[1:]) for name, values in seconds.items()}


def show(what: str, seconds: Mapping[str, float]) -> None:
    """One line: milliseconds of each, and how many times as fast as the first it is."""
    first = next(iter(seconds.values()))
    cells = (f"{name} {1000 * one:.0f} ms (x {first / one:.2f})" for name, one in seconds.items())
    print(f"{what:>14}  " + "   ".join(cells), flush=True)


if __name__ == "__main__":
    main()
