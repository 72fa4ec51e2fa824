"""Random walks per second on the graph of users and items: all walkers at once, against loops in Python.

    python experiments/benchmark_walks.py --dataset ml100k

Figures are medians of five runs, which take turns so that a busy machine slows all alike, of the processor's time.
The loop walks over adjacency lists, the first of which are made outside the time that is taken; it walks fewer walks.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from genrec.data.load import load_dataset
from genrec.data.splits import LeaveOneOut
from genrec.recall.deepwalk import Graph, random_walks

LENGTH, PER_ITEM, LOOPED = 40, 20, 2000  # nodes of a walk, walks per item, walks of the loop
RUNS = 5


def python_walks(neighbours: list[list[int]], starts: list[int], length: int) -> list[list[int]]:
    """The walks of `random_walks`, one after the other; every node has a neighbour."""
    walks = []
    for start in starts:
        walk = [start]
        while len(walk) < length:
            walk.append(random.choice(neighbours[walk[-1]]))
        walks.append(walk)
    return walks


def taken(job: Callable[[], object]) -> float:
    """Seconds of the processor that a job took."""
    started = time.process_time()
    job()
    return time.process_time() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="ml100k")
    parser.add_argument("--dataset-folder")
    parser.add_argument("--dataset-split")
    chosen = parser.parse_args()
    data = load_dataset(chosen.dataset, chosen.dataset_folder, chosen.dataset_split)
    train = LeaveOneOut()(data.interactions).train
    graph = Graph.bipartite(train)
    starts = np.repeat(train.n_users + np.flatnonzero(graph.degrees[train.n_users :]), PER_ITEM)
    few = np.random.default_rng(0).choice(starts, LOOPED).tolist()
    lists = [part.tolist() for part in np.split(graph.neighbours, graph.offsets[1:-1])]
    seconds: dict[str, list[float]] = {"all at once": [], "Python loop": []}
    for run in range(RUNS + 1):
        rng = np.random.default_rng(run)
        once = taken(lambda rng=rng: random_walks(graph, starts, LENGTH, rng)) / len(starts)  # type: ignore[misc]
        loop = taken(lambda: python_walks(lists, few, LENGTH)) / len(few)
        if run:  # the first warms up
            seconds["all at once"].append(once)
            seconds["Python loop"].append(loop)
    rates = {name: 1 / median(each) for name, each in seconds.items()}
    for name, rate in rates.items():
        print(f"{name:12} {rate:12,.0f} walks of {LENGTH} nodes per second")
    print(f"ratio        {rates['all at once'] / rates['Python loop']:12.0f}")


if __name__ == "__main__":
    main()
