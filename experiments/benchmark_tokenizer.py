"""Cost of a training step of the RQ-VAE, and what some hundred steps make of a mixture, in every mode.

    OMP_NUM_THREADS=1 python experiments/benchmark_tokenizer.py
    python experiments/benchmark_tokenizer.py --threads 2 --gate plain few

A step is forward and backward in float32. It is compared with its bare matrix products, forward and backward, and
with `ResidualVQ` of vector-quantize-pytorch in the same autoencoder where that package is installed. Times are
medians of repetitions that take turns, so that a busy machine slows all alike; `--clock cpu` reads the processor
time of this process instead of the wall's.

`--gate` trains 300 steps on mixtures of Gaussians and prints the share of distinct ids, and the usage of each level.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from statistics import median

import torch
from torch import Tensor, nn

from genrec.tokenizer.codebooks import Ema
from genrec.tokenizer.estimators import Estimator, GumbelSoftmax, RotationTrick, Sinkhorn, StraightThrough
from genrec.tokenizer.rqvae import RqVae, mlp
from genrec.tokenizer.task import RqVaeTask

BATCH, WIDTHS, CODES, LEVELS = 640, (768, 512, 256, 128, 32), 256, 3
ITEMS, STEPS, RATE = 12_000, 300, 1e-3  # of the gate
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
MODES: dict[str, tuple[Callable[[], Estimator], bool]] = {
    "straight-through": (StraightThrough, False),
    "rotation trick": (RotationTrick, False),
    "Gumbel-softmax": (GumbelSoftmax, False),
    "Sinkhorn": (Sinkhorn, False),
    "EMA codebooks": (StraightThrough, True),
    "Sinkhorn, EMA codebooks": (Sinkhorn, True),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="repetitions (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=5, help="steps per repetition (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: %(default)s)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="(default: %(default)s)")
    parser.add_argument("--gate", nargs="+", choices=MIXTURES, help="mixtures to train on instead")
    parser.add_argument("--seed", type=int, default=0, help="of the gate's draws (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.gate:
        print_gate(arguments.gate, arguments.seed)
    else:
        print_steps(arguments.repeats, arguments.steps, CLOCKS[arguments.clock])


def print_steps(repeats: int, steps: int, clock: Callable[[], float]) -> None:
    """The table of steps."""
    x = torch.randn(BATCH, WIDTHS[0], generator=torch.Generator().manual_seed(0))
    jobs: dict[str, Callable[[], object]] = {"bare matrix products": bare_products(x)}
    jobs |= {name: training_step(model(name, x), x) for name in MODES}
    if find_spec("vector_quantize_pytorch"):
        jobs["ResidualVQ"] = residual_vq_step(x)
    times = medians(jobs, repeats, steps, clock)
    bare = times["bare matrix products"]
    shape = " -> ".join(map(str, WIDTHS))
    print(f"one step, B={BATCH}, {shape}, {LEVELS} x {CODES} codes, {torch.get_num_threads()} threads")
    for name, seconds in times.items():
        print(f"{name:>24} {1000 * seconds:>8.1f} ms {seconds / bare:>7.2f} x")
    if "ResidualVQ" not in jobs:
        print("ResidualVQ is left out: vector-quantize-pytorch is not installed")


def model(name: str, x: Tensor) -> RqVae:
    """An RQ-VAE in a mode, its codebooks started on x."""
    torch.manual_seed(0)
    make, moving = MODES[name]
    made = RqVae(
        WIDTHS[0],
        WIDTHS[-1],
        CODES,
        LEVELS,
        hidden=WIDTHS[1:-1],
        estimator=make(),
        ema=Ema() if moving else None,
    )
    made.start(x, torch.Generator().manual_seed(0))
    return made


def training_step(trained: RqVae, x: Tensor) -> Callable[[], object]:
    """Forward and backward."""

    def run() -> None:
        trained.zero_grad()
        trained(x)["loss"].backward()

    return run


def bare_products(x: Tensor) -> Callable[[], object]:
    """The matrix products of encoder, decoder and distances, forward and backward, and nothing else."""
    g = torch.Generator().manual_seed(0)
    shapes = list(pairwise((*WIDTHS, *WIDTHS[-2::-1])))
    weights = [torch.randn(b, a, generator=g) for a, b in shapes]
    inputs = [x] + [torch.randn(len(x), b, generator=g) for _, b in shapes]
    latents, book = torch.randn(len(x), WIDTHS[-1], generator=g), torch.randn(CODES, WIDTHS[-1], generator=g)

    def run() -> None:
        for layer, weight in enumerate(weights):
            inputs[layer] @ weight.T
            inputs[layer + 1].T @ inputs[layer]
            if layer:  # features need no gradient
                inputs[layer + 1] @ weight
        for _ in range(LEVELS):
            latents @ book.T

    return run


def residual_vq_step(x: Tensor) -> Callable[[], object]:
    """The same autoencoder around vector-quantize-pytorch's residual quantiser, as its documentation sets it up."""
    encoder, decoder = mlp(WIDTHS), mlp(WIDTHS[::-1])
    quantiser: nn.Module = import_module("vector_quantize_pytorch").ResidualVQ(
        dim=WIDTHS[-1], num_quantizers=LEVELS, codebook_size=CODES
    )

    def run() -> None:
        for part in (encoder, decoder, quantiser):
            part.zero_grad()
        quantised, _, commitment = quantiser(encoder(x)[None])
        ((decoder(quantised[0]) - x).square().sum(1).mean() + commitment.sum()).backward()

    return run


def medians(
    jobs: Mapping[str, Callable[[], object]], repeats: int, steps: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Median seconds of a step of each job; jobs take turns, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeats + 1):
        for name, job in jobs.items():
            start = clock()
            for _ in range(steps):
                job()
            seconds[name].append((clock() - start) / steps)
    return {name: median(values[1:]) for name, values in seconds.items()}


def print_gate(mixtures: list[str], seed: int) -> None:
    """Train every mode on every mixture."""
    print(f"{ITEMS:,} x {WIDTHS[0]}, {STEPS} steps of {BATCH}, {LEVELS} x {CODES} codes, AdamW {RATE:g}")
    print(f"{'mixture':>10} {'mode':>24} {'distinct ids':>13} {'usage by level':>17} {'error':>6}")
    for mixture in mixtures:
        x = MIXTURES[mixture](torch.Generator().manual_seed(seed))
        for name in MODES:
            figures = trained_figures(model(name, x), x, seed)
            usage = " ".join(f"{figures[f'usage/{level}']:.3f}" for level in range(LEVELS))
            error = figures["reconstruction"] / WIDTHS[0]
            print(
                f"{mixture:>10} {name:>24} {1 - figures['collision_rate']:>13.3f} {usage:>17} {error:>6.3f}",
                flush=True,
            )


def trained_figures(trained: RqVae, x: Tensor, seed: int) -> dict[str, float]:
    """What validation says after the gate's steps, at a constant learning rate."""
    task = RqVaeTask(trained, x, batch_size=BATCH, iterations=STEPS, seed=seed)
    optimizer = torch.optim.AdamW(trained.parameters(), lr=RATE, weight_decay=0.0)
    for step in range(STEPS):
        task.loss(step)["loss"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        task.after_step(step)
    trained.eval()
    with torch.no_grad():
        return task.validate()


def clusters(
    g: torch.Generator,
    *,
    n: int = 300,
    apart: float = 1.0,
    noise: float = 1.0,
    tail: float = 0.0,
    rank: int = 0,
) -> Tensor:
    """Gaussian clusters [ITEMS, D].

    Args:
        n: clusters.
        apart: deviation of a coordinate of their centres.
        noise: deviation of a coordinate inside a cluster.
        tail: exponent of Zipf's law of their sizes; 0 is even.
        rank: dimensions in which each cluster extends, all of them if 0.
    """
    width = WIDTHS[0]
    centres = apart * torch.randn(n, width, generator=g)
    which = torch.multinomial(torch.arange(1.0, n + 1) ** -tail, ITEMS, replacement=True, generator=g)
    if not rank:
        return centres[which] + noise * torch.randn(ITEMS, width, generator=g)
    x = centres[which]
    for cluster in range(n):
        rows = torch.nonzero(which == cluster)[:, 0]
        axes = torch.randn(rank, width, generator=g) / rank**0.5
        x[rows] += noise * torch.randn(len(rows), rank, generator=g) @ axes
    return x


MIXTURES: dict[str, Callable[[torch.Generator], Tensor]] = {
    "plain": clusters,
    "apart": lambda g: clusters(g, apart=3.0),
    "tight": lambda g: clusters(g, noise=0.1),
    "few": lambda g: clusters(g, n=10, apart=3.0),
    "heavy": lambda g: clusters(g, apart=2.0, noise=0.5, tail=1.0),
    "low-rank": lambda g: clusters(g, n=200, rank=8),
    "scales": lambda g: clusters(g) * torch.exp(1.5 * torch.randn(WIDTHS[0], generator=g)),
}


if __name__ == "__main__":
    main()
