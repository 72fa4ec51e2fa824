"""Time of classic recall against what one would otherwise use, on the same data, in one run.

    python experiments/benchmark_recall.py --dataset ml1m --threads 1 --repeats 5

Figures are medians over rounds in which all take turns, after one that does not count; every side has the same number
of threads. Compared are item-based neighbours with `implicit` (pip install "genrec[cf]"; without it that section is
left out), EASE with plain numpy, and random walks with a Python loop. Of EASE the whole leave-one-out evaluation is
timed too: split, fit, lists for all users, metrics.
"""

from __future__ import annotations

import argparse
import random
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from rivals.contest import Job, Result, measure
from threadpoolctl import threadpool_limits

from genrec.data.load import load_dataset
from genrec.data.recommendations import Recommendations
from genrec.data.splits import LeaveOneOut
from genrec.data.tables import Dataset, Interactions
from genrec.evaluation.metrics import accuracy
from genrec.evaluation.protocol import EvaluationSet, evaluate, evaluation_set
from genrec.recall.deepwalk import Graph, random_walks
from genrec.recall.ease import Ease, ease_weights
from genrec.recall.itemknn import ItemKnn

K, NEIGHBOURS, L2 = 10, 200, 300.0
WALK, WALKS, LOOPED = 40, 100_000, 2_000  # nodes of a walk; walks of ours, and of the loop
EVALUATION_TARGET = 20.0  # seconds, for EASE on MovieLens 1M
WALKS_TARGET = 50.0  # times as many walks per second as the loop


class Ground:
    """What all sides start from.

    Attributes:
        train: what precedes the test part, and `matrix` the same as users' rows.
        cases: test users and their targets.
    """

    def __init__(self, data: Dataset, threads: int) -> None:
        split = LeaveOneOut()(data.interactions)
        self.data, self.threads = data, threads
        self.train: Interactions = split.before("test")
        self.cases: EvaluationSet = evaluation_set(split, "test")
        self.matrix = sp.csr_matrix(self.train.matrix())

    def ndcg(self, items: NDArray[np.int32]) -> str:
        """NDCG of the lists of all test users, for the table."""
        lists = Recommendations(self.cases.users, items, np.zeros(items.shape, np.float32))
        value = accuracy(self.cases.hits(lists), self.cases.n_targets, (K,))[f"ndcg@{K}"].mean()
        return f"N@{K} {value:.4f}"


def neighbours(ground: Ground) -> list[list[Job]]:
    """Fitting, and lists for all users."""
    from implicit.nearest_neighbours import CosineRecommender

    warnings.filterwarnings("ignore", module="implicit")  # it tells itself off for the matrix that it made
    ours, users = ItemKnn(NEIGHBOURS), ground.cases.users
    theirs = CosineRecommender(K=NEIGHBOURS, num_threads=ground.threads)
    fit = [
        Job("ItemKnn", lambda: ours.fit(ground.train, ground.data.items, None), 1, own=True),
        Job("implicit", lambda: theirs.fit(ground.matrix, show_progress=False), 1),
    ]
    recommend = [
        Job("ItemKnn", lambda: ours.recommend(users, K).items, len(users), own=True, quality=ground.ndcg),
        Job(
            "implicit",
            lambda: theirs.recommend(users, ground.matrix[users], N=K)[0],
            len(users),
            quality=ground.ndcg,
        ),
    ]
    return [fit, recommend]


def plain_ease(matrix: sp.csr_matrix) -> NDArray[np.float64]:
    """EASE as its paper's listing has it, in double precision."""
    gram = (matrix.T @ matrix).toarray().astype(np.float64)
    gram[np.diag_indices(len(gram))] += L2
    inverse = np.linalg.inv(gram)
    weights = inverse / -np.diag(inverse)
    weights[np.diag_indices(len(weights))] = 0.0
    return np.asarray(weights)


def whole_evaluation(data: Dataset) -> str:
    """Leave-one-out from the events to the figures."""
    split = LeaveOneOut()(data.interactions)
    fitted = Ease(L2).fit(split.before("test"), data.items, None)
    found = evaluate(fitted, evaluation_set(split, "test"), (K,), method="ease", masked=True)
    return f"N@{K} {found.summary[f'ndcg@{K}']:.4f}"


def ease(ground: Ground) -> list[list[Job]]:
    """Weights, and the evaluation."""
    weights = [
        Job("Ease", lambda: ease_weights(ground.train.matrix(), L2), 1, own=True),
        Job("numpy, float64", lambda: plain_ease(ground.matrix), 1),
    ]
    return [weights, [Job("Ease", lambda: whole_evaluation(ground.data), 1, own=True, quality=str)]]


def looped_walks(
    neighbours: Sequence[Sequence[int]], starts: Sequence[int], length: int, rng: random.Random
) -> list[list[int]]:
    """Uniform random walks, a step at a time."""
    walks = []
    for start in starts:
        walk = [start]
        while len(walk) < length:
            walk.append(rng.choice(neighbours[walk[-1]]))
        walks.append(walk)
    return walks


def walks(ground: Ground) -> list[list[Job]]:
    """Random walks between users and items, from nodes that have neighbours."""
    graph = Graph.bipartite(ground.train)
    rows = np.split(graph.neighbours, graph.offsets[1:-1])
    lists = [row.tolist() for row in rows]
    starts = np.resize(np.flatnonzero(graph.degrees), WALKS)
    some = starts[:LOOPED].tolist()
    ours = Job(
        "random_walks",
        lambda: random_walks(graph, starts, WALK, np.random.default_rng(0)),
        len(starts),
        own=True,
    )
    loop = Job("Python loop", lambda: looped_walks(lists, some, WALK, random.Random(0)), len(some))
    return [[ours, loop]]


SECTIONS: Mapping[str, tuple[Callable[[Ground], list[list[Job]]], tuple[str, ...]]] = {
    "itemknn": (
        neighbours,
        (f"item-based neighbours, {NEIGHBOURS} each: fit", f"the {K} best items of a user, history masked"),
    ),
    "ease": (ease, ("EASE: weights", "EASE: the whole leave-one-out evaluation, all users")),
    "walks": (walks, (f"a random walk of {WALK} nodes between users and items",)),
}


def report(title: str, results: Sequence[Result]) -> None:
    """A table: time per unit by both clocks, and how it compares with ours by either."""
    own = next(result for result in results if result.job.own)
    print(f"\n{title}\n{'':20}{'wall':>14}{'cpu':>14}{'wall ratio':>14}{'cpu ratio':>14}")
    for result in results:
        ratios = [result.seconds(clock) / own.seconds(clock) for clock in ("wall", "cpu")]
        times = "".join(f"{duration(seconds):>14}" for seconds in (result.wall, result.cpu))
        print(f"{result.job.name:20}{times}{ratios[0]:>12,.2f} x{ratios[1]:>12,.2f} x   {result.quality}")


def duration(seconds: float) -> str:
    """Seconds in a unit that leaves three digits or so before the point."""
    scale, unit = next(
        (s, u) for s, u in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")) if seconds * s >= 1 or u == "µs"
    )
    return f"{seconds * scale:,.2f} {unit}"


def verdicts(section: str, timed: Sequence[Sequence[Result]]) -> list[str]:
    """What the targets say."""
    if section == "ease":
        seconds = timed[1][0].wall
        return [f"target: below {EVALUATION_TARGET:g} s on MovieLens 1M: {seconds:.1f} s"]
    if section == "walks":
        ours, loop = timed[0]
        return [f"target: at least {WALKS_TARGET:g} x as many walks a second: {loop.wall / ours.wall:,.0f} x"]
    return []


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--dataset", default="ml1m", help="(default: %(default)s)")
    add("--dataset-folder", help="where its files are")
    add("--dataset-split", help="its category, if it has several")
    add("--threads", type=int, default=1, help="of every side (default: %(default)s)")
    add("--repeats", type=int, default=5, help="rounds that count (default: %(default)s)")
    add("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="sections to run (default: all)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    ground = Ground(load_dataset(args.dataset, args.dataset_folder, args.dataset_split), args.threads)
    print(
        f"{ground.data.name}: {len(ground.train):,} events, {ground.train.n_users:,} users, {ground.train.n_items:,} "
        f"items; threads: {args.threads}, medians of {args.repeats}"
    )
    with threadpool_limits(args.threads):
        for name in args.only:
            run(name, ground, args.repeats)


def run(name: str, ground: Ground, repeats: int) -> None:
    """One section, or the sentence that says why not."""
    make, titles = SECTIONS[name]
    try:
        contests = make(ground)
    except ImportError as error:
        print(f"\n{titles[0]}: left out ({error}); pip install 'genrec[cf]'")
        return
    timed = [measure(jobs, repeats) for jobs in contests]
    for title, results in zip(titles, timed, strict=True):
        report(title, results)
    print("\n".join(verdicts(name, timed)))


if __name__ == "__main__":
    main()
