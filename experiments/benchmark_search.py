"""Time and memory of the tree of valid ids and of the searches over it.

    python experiments/benchmark_search.py --threads 1 2 --plot search.png
    python experiments/benchmark_search.py --items --dataset amazon --dataset-split beauty

Figures are medians over repetitions, which take turns with each other so that a busy machine slows all alike; the
processor's time, of all threads together, says what they would take on an idle one. Trees are of random ids, logits
random and drawn beforehand: the model's own time is not in the figures of the first two tables. The third compares
exact searches on a small made-up model that is about as sure as a trained one, the last on a trained one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from genrec.bench import Bench, ndcg
from genrec.data.load import load_dataset
from genrec.data.splits import LeaveOneOut
from genrec.generative.bound import branch_and_bound
from genrec.generative.search import beam_search, exact_search
from genrec.generative.seen import ClosedNodes
from genrec.generative.softmax import child_log_probs
from genrec.generative.store import load_model
from genrec.generative.tree import CodeTree
from genrec.recall.generative import GenerativeRecaller
from genrec.recall.probe import agreement
from genrec.tokenizer.store import load_ids

LEVELS, CODES = 4, 256
USERS, WIDTH, SEEN = 32, 50, 100  # requests per search, beams and length of the lists, items each has seen
SURE_ITEMS, SURE_LEVELS, SURE_WIDTH, SURENESS = 12_000, 3, 64, 3.0  # a catalogue of Beauty's size
K, WIDTHS, JUDGED = 10, (10, 20, 50), 256  # of the comparison of searches; users of a trained model
Job = Callable[[], object]


@dataclass(frozen=True)
class Taken:
    """Medians in seconds: on the clock, and of the processor."""

    wall: float
    cpu: float


class RandomLogits:
    """Answers with parts of one block of random logits, whatever it is asked."""

    def __init__(self, tree: CodeTree) -> None:
        self.tree, self.root = tree, torch.zeros(USERS, 1, dtype=torch.int64)
        self.block = torch.randn(USERS, WIDTH, CODES, generator=torch.Generator().manual_seed(0))

    def start(self) -> Tensor:
        """Log-probabilities of the root's children."""
        return self.advance(0, self.root, self.root)

    def advance(self, level: int, parent: Tensor, node: Tensor) -> Tensor:
        """Log-probabilities of the children of nodes."""
        return child_log_probs(self.block[:, : node.shape[1]], self.tree, level, node, over_tree=True)

    def select(self, rows: Tensor) -> RandomLogits:
        """Requests are not told apart."""
        return self


class SureModel:
    """Logits of code vectors times the request's state and the prefix so far, as a decoder's are."""

    def __init__(self, tree: CodeTree, state: Tensor) -> None:
        self.tree, self.state, self.h = tree, state, state[:, None]
        draw = partial(torch.randn, generator=torch.Generator().manual_seed(1))
        self.vectors = [draw(CODES, SURE_WIDTH) for _ in range(SURE_LEVELS)]

    def start(self) -> Tensor:
        """Log-probabilities of the root's children."""
        self.h = self.state[:, None]
        return self._children(0, torch.zeros(len(self.state), 1, dtype=torch.int64))

    def advance(self, level: int, parent: Tensor, node: Tensor) -> Tensor:
        """Log-probabilities of the children of nodes."""
        code = self.tree.child_code[level - 1][node]
        before = self.h.gather(1, parent[..., None].expand(-1, -1, SURE_WIDTH))
        self.h = (before + self.vectors[level - 1][code]) * 0.5**0.5
        return self._children(level, node)

    def select(self, rows: Tensor) -> SureModel:
        """Some of the requests."""
        chosen = SureModel(self.tree, self.state[rows])
        chosen.h = self.h[rows]
        return chosen

    def _children(self, level: int, node: Tensor) -> Tensor:
        logits = self.h @ self.vectors[level].T * (SURENESS / SURE_WIDTH**0.5)
        return child_log_probs(logits, self.tree, level, node, over_tree=True)


def main() -> None:
    """Measure and print what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--repeats", type=int, default=5, help="repetitions (default: %(default)s)")
    add("--threads", type=int, nargs="+", default=[1], help="numbers of threads (default: %(default)s)")
    add("--items", type=int, nargs="*", default=[10**4, 10**5, 10**6, 10**7], help="sizes of random trees")
    add("--plot", type=Path, help="PNG or SVG file of time and memory by the number of items")
    add("--dataset", help="also compare the searches of the model in out/DATASET/decoder, trained before")
    add("--dataset-folder", help="where its files are")
    add("--dataset-split", help="its category, if it has several")
    args = parser.parse_args()
    rows: dict[str, list[float]] = {}
    for threads in args.threads:
        torch.set_num_threads(threads)
        print(f"\n{threads} thread{'s' * (threads > 1)}, medians of {args.repeats}")
        if args.items:
            rows |= trees(args.items, args.repeats, threads)
        made_up(args.repeats)
        if args.dataset:
            trained(args.dataset, args.dataset_folder, args.dataset_split, args.repeats)
    if args.plot and args.items:
        plot(args.plot, args.items, rows)


def trees(items: Sequence[int], repeats: int, threads: int) -> dict[str, list[float]]:
    """Building trees, and beams over them; the lines of the plot."""
    rng = np.random.default_rng(0)
    codes = {n: rng.integers(0, CODES, size=(n, LEVELS), dtype=np.int32) for n in items}
    build: dict[str, Job] = {f"{n:,}": partial(CodeTree.of, codes[n], (CODES,) * LEVELS) for n in items}
    built = medians(build, repeats)
    made = {n: CodeTree.of(codes[n], (CODES,) * LEVELS) for n in items}
    print(
        f"tree of {LEVELS} levels x {CODES} codes\n{'items':>30} {'time':>10} {'processor':>10} {'memory':>10}"
    )
    for n, taken in zip(items, built.values(), strict=True):
        print(f"{n:>30,} {taken.wall:>8.3f} s {taken.cpu:>8.3f} s {made[n].nbytes / 1e6:>7.1f} MB")
    jobs: dict[str, Job] = {}
    for n, tree in made.items():
        row = torch.arange(USERS).repeat_interleave(SEEN)
        item = torch.from_numpy(rng.integers(0, n, size=USERS * SEEN))
        scorer = RandomLogits(tree)
        jobs[f"{n:,} items"] = partial(beam_search, scorer, tree, width=WIDTH, k=WIDTH)
        jobs[f"{n:,} items, {SEEN} masked"] = partial(masked_beam, scorer, tree, row, item)
    searched = medians(jobs, repeats)
    print(f"{WIDTH} items by {WIDTH} beams for {USERS} requests, softmax included")
    for name, taken in searched.items():
        print(f"{name:>30} {1000 * taken.wall:>7.1f} ms {1000 * taken.cpu:>7.1f} ms")
    return {
        "memory of the tree, MB": [made[n].nbytes / 1e6 for n in items],
        f"search, ms, threads: {threads}": [1000 * searched[f"{n:,} items"].wall for n in items],
        f"building, ms, threads: {threads}": [1000 * taken.wall for taken in built.values()],
    }


def masked_beam(scorer: RandomLogits, tree: CodeTree, row: Tensor, item: Tensor) -> object:
    """A search with what its masking takes."""
    return beam_search(scorer, tree, width=WIDTH, k=WIDTH, closed=ClosedNodes.of(tree, row, item))


def made_up(repeats: int) -> None:
    """Exact searches and beams on a model of random vectors."""
    codes = np.random.default_rng(0).integers(0, CODES, (SURE_ITEMS, SURE_LEVELS), dtype=np.int32)
    tree = CodeTree.of(codes, (CODES,) * SURE_LEVELS)
    state = torch.randn(USERS, SURE_WIDTH, generator=torch.Generator().manual_seed(0))
    model = SureModel(tree, state)
    jobs: dict[str, Job] = {
        f"beam {width}": partial(beam_search, model, tree, width=width, k=K) for width in WIDTHS
    }
    jobs["branch and bound"] = partial(branch_and_bound, model, tree, k=K)
    jobs["exhaustive"] = partial(exact_search, model, tree, k=K)
    exact = exact_search(model, tree, k=K)[0]
    print(f"made-up model, {SURE_ITEMS:,} items, {SURE_LEVELS} x {CODES}, {K} items for {USERS} requests")
    found = {f"beam {width}": beam_search(model, tree, width=width, k=K)[0] for width in WIDTHS} | {
        "branch and bound": branch_and_bound(model, tree, k=K)[0],
        "exhaustive": exact,
    }
    shares = {
        name: float((one[:, :, None] == exact[:, None, :]).any(1).double().mean())
        for name, one in found.items()
    }
    compare(medians(jobs, repeats), shares, USERS)


def trained(dataset: str, folder: str | None, category: str | None, repeats: int) -> None:
    """Exact searches and beams on a trained model, history masked, the model's own time included."""
    data = load_dataset(dataset, folder, category)
    split = LeaveOneOut()(data.interactions)
    home = Path("out") / data.name
    stored = load_ids(home / "tokenizer", data.items, split.hash)
    model = load_model(home / "decoder", stored, split.hash)
    bench = Bench(split, data.items, stored.features, (K,), JUDGED)
    cases = bench.cases("test")
    made = {f"beam {width}": GenerativeRecaller(model, width=width) for width in WIDTHS}
    made["branch and bound"] = GenerativeRecaller(model, search="branch-and-bound")
    made["exhaustive"] = GenerativeRecaller(model, search="exhaustive")
    jobs: dict[str, Job] = {}
    lists = {}
    for name, recaller in made.items():
        lists[name] = bench.fit(recaller, "test").recommend(cases.users, K)
        jobs[name] = partial(recaller.recommend, cases.users, K)
    exact = lists["exhaustive"]
    print(f"{data.name}, {model.tree.n_items:,} items, trained model, {K} items for {JUDGED} users")
    for name, one in lists.items():
        print(f"{name:>30} ndcg@{K} {ndcg(one, cases):.5f}")
    compare(medians(jobs, repeats), {name: agreement(one, exact) for name, one in lists.items()}, JUDGED)


def compare(taken: Mapping[str, Taken], shares: Mapping[str, float], users: int) -> None:
    """Print times per 1,000 users, and how many times less processor's time than exhaustive search."""
    whole = taken["exhaustive"].cpu
    print(f"{'per 1,000 users':>30} {'time':>10} {'processor':>10} {'times less':>10} {'found':>8}")
    for name, one in taken.items():
        wall, cpu = (1000 * seconds / users for seconds in (one.wall, one.cpu))
        print(
            f"{name:>30} {wall:>8.3f} s {cpu:>8.3f} s {whole / one.cpu:>10.1f} {100 * shares[name]:>6.1f} %"
        )


def medians(jobs: Mapping[str, Job], repeats: int) -> dict[str, Taken]:
    """Medians of each job; jobs take turns, after one round that does not count."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for _ in range(repeats + 1):
        for name, job in jobs.items():
            start = time.perf_counter(), time.process_time()
            job()
            taken[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return {
        name: Taken(*(median(column) for column in zip(*values[1:], strict=True)))
        for name, values in taken.items()
    }


def plot(path: Path, items: Sequence[int], rows: Mapping[str, Sequence[float]]) -> None:
    """Every row by the number of items, with a line of what would be linear."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, values in rows.items():
        axes.loglog(items, values, marker="o", label=name)
    start = min(values[0] for values in rows.values())
    axes.loglog(items, [start * n / items[0] for n in items], color="grey", linestyle=":", label="linear")
    axes.set(
        xlabel=f"items, {LEVELS} levels x {CODES} codes", title=f"B = {USERS}, W = {WIDTH}, random logits"
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
