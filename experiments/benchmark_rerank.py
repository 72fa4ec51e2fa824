"""Time of MMR against the plain double loop of its definition, on the same random candidates.

    python experiments/benchmark_rerank.py
    python experiments/benchmark_rerank.py --users 1 --repeats 50

Prints medians over repetitions, which take turns with each other so that a busy machine slows all alike; the
processor's time says what they would take on an idle one. Two loops are compared with: the definition (for each place,
for each candidate, the largest of its cosines to the chosen), and numpy user by user (all candidates at once, with a
running maximum). Both get the cosines of a user's candidates from one product of matrices. All three must give equal
lists.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from genrec.rerank.base import Context
from genrec.rerank.catalogue import Catalogue
from genrec.rerank.mmr import Mmr

Job = Callable[[], NDArray[np.int32]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--users", type=int, default=1000, help="users (default: %(default)s)")
    add("--candidates", type=int, default=200, help="candidates of each (default: %(default)s)")
    add("--k", type=int, default=20, help="length of the lists (default: %(default)s)")
    add("--items", type=int, default=20_000, help="size of the catalogue (default: %(default)s)")
    add("--width", type=int, default=64, help="width of item vectors (default: %(default)s)")
    add("--lambda-mmr", type=float, default=0.5, help="weight of relevance (default: %(default)s)")
    add("--repeats", type=int, default=5, help="repetitions (default: %(default)s)")
    add("--threads", type=int, default=1, help="numbers of threads (default: %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(0)
    items = np.stack([rng.choice(args.items, args.candidates, replace=False) for _ in range(args.users)])
    items = items.astype(np.int32)
    scores = -np.sort(-rng.normal(size=items.shape).astype(np.float32), axis=1)
    vectors = rng.normal(size=(args.items, args.width)).astype(np.float32)
    catalogue = Catalogue(args.items, vectors=vectors)
    context = Context(catalogue)
    reranker, unit = Mmr(args.lambda_mmr), catalogue.unit
    assert unit is not None
    jobs: dict[str, Job] = {
        "Mmr": lambda: reranker.rerank(items, scores, args.k, context).items,
        "numpy, user by user": lambda: user_loop(items, scores, unit, args.k, args.lambda_mmr),
        "plain double loop": lambda: double_loop(items, scores, unit, args.k, args.lambda_mmr),
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    with threadpool_limits(args.threads):
        jobs["Mmr"]()  # warm
        for _ in range(args.repeats):
            lists = {}
            for name, job in jobs.items():
                start = time.perf_counter(), time.process_time()
                lists[name] = job()
                taken[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
            for name, one in lists.items():
                if not np.array_equal(one, lists["Mmr"]):
                    raise SystemExit(f"the lists of {name} and of Mmr differ")
    shape = f"{args.users:,} users, {args.candidates} candidates to {args.k}, vectors of {args.width}"
    print(f"{shape}; {args.threads} threads, medians of {args.repeats}, equal lists")
    own = medians(taken["Mmr"])
    print(f"{'':>20} {'time':>11} {'ratio':>8} {'processor':>11} {'ratio':>8}")
    for name, seconds in taken.items():
        wall, cpu = medians(seconds)
        print(
            f"{name:>20} {1000 * wall:>8.1f} ms {wall / own[0]:>8.1f} {1000 * cpu:>8.1f} ms {cpu / own[1]:>8.1f}"
        )


def medians(seconds: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Of the time on the clock, and of the processor's."""
    wall, cpu = zip(*seconds, strict=True)
    return median(wall), median(cpu)


def double_loop(
    items: NDArray[np.int32],
    scores: NDArray[np.float32],
    unit: NDArray[np.float32],
    k: int,
    lambda_mmr: float,
) -> NDArray[np.int32]:
    """The definition: for each place, for each candidate left, its value against all that were chosen."""
    lists = np.empty((len(items), k), dtype=np.int32)
    for user in range(len(items)):
        similarity = cosines(unit[items[user]]).tolist()
        gain = gains(scores[user], lambda_mmr).tolist()
        chosen: list[int] = []
        left = list(range(len(gain)))
        for _ in range(k):
            best, best_value = -1, -np.inf
            for candidate in left:
                own = similarity[candidate]
                nearest = max([own[other] for other in chosen]) if chosen else -1.0
                value = gain[candidate] - (1 - lambda_mmr) * nearest
                if value > best_value:
                    best, best_value = candidate, value
            chosen.append(best)
            left.remove(best)
        lists[user] = items[user, chosen]
    return lists


def user_loop(
    items: NDArray[np.int32],
    scores: NDArray[np.float32],
    unit: NDArray[np.float32],
    k: int,
    lambda_mmr: float,
) -> NDArray[np.int32]:
    """User by user, for each place all candidates at once, with a running maximum."""
    lists = np.empty((len(items), k), dtype=np.int32)
    for user in range(len(items)):
        similarity = cosines(unit[items[user]])
        gain = gains(scores[user], lambda_mmr)
        nearest = np.full(len(gain), -1.0)
        for place in range(k):
            best = int(np.argmax(gain - (1 - lambda_mmr) * nearest))
            lists[user, place] = items[user, best]
            gain[best] = -np.inf
            nearest = np.maximum(nearest, similarity[best])
    return lists


def cosines(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of all pairs of candidates [C, C], rounded as `Mmr` does, so that lists can be compared item by item."""
    exact = vectors.astype(np.float64)
    return np.asarray(exact @ exact.T, dtype=np.float32)


def gains(scores: NDArray[np.float32], lambda_mmr: float) -> NDArray[np.float64]:
    """λ times the scores brought to 0..1 [C]."""
    values = scores.astype(np.float64)
    scaled = ((values - values.min()) / (values.max() - values.min())).astype(np.float32)
    return np.asarray(lambda_mmr * scaled.astype(np.float64))


if __name__ == "__main__":
    main()
