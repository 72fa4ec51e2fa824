"""Time and memory of classic recall on a data set of MovieLens-32M's size: fit, and leave-one-out evaluation.

    python experiments/benchmark_scale.py --ratings 32000000 --out FOLDER --threads 2

writes a random release in the published CSV format into FOLDER (as benchmark_ingest.py does; delete it afterwards) and
fits each model in a process of its own to what precedes the test part. Lists of 10, history masked, are made and
judged for a random sample of the users. Peak memory is that of the model's process: data, split and histories included.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from benchmark_ingest import generate, step

from genrec.data.load import load_dataset
from genrec.data.splits import LeaveOneOut
from genrec.evaluation.protocol import evaluate, evaluation_set
from genrec.recall.base import Recaller
from genrec.recall.implicit_mf import Als
from genrec.recall.itemknn import ItemKnn
from genrec.recall.popularity import Popularity

DATASET, K = "ml32m", 10
MODELS: Mapping[str, Callable[[], Recaller]] = {
    "popularity": Popularity,
    "itemcf": lambda: ItemKnn(neighbours=200),
    "als": lambda: Als(factors=64, iterations=15),
}
HEAD = (
    f"{'':12}{'load, split':>14}{'fit':>12}{'evaluate':>12}{'per user':>12}{'peak memory':>14}{f'N@{K}':>10}"
)


def main() -> None:
    """Generate and ingest, then one process per model; or, with `--one`, be such a process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--ratings", type=int, default=32_000_000, help="number of ratings (default: %(default)s)")
    add(
        "--out", type=Path, required=True, help="folder of the generated files; those that are there are used"
    )
    add("--users", type=int, default=10_000, help="that are judged (default: %(default)s)")
    add("--threads", type=int, default=2, help="(default: %(default)s)")
    add("--models", nargs="+", choices=MODELS, default=list(MODELS), help="(default: all)")
    add("--one", choices=MODELS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        torch.set_num_threads(args.threads)
        print(measured(args.one, args.out, args.users), flush=True)
        return
    if not (args.out / "ratings.csv").exists():
        with step("generate"):
            generate(args.out, args.ratings, np.random.default_rng(0))
    with step("ingest (read, sort, hash, write)"):
        data = load_dataset(DATASET, args.out)
    print(
        f"\n{len(data.interactions):,} ratings, {len(data.users):,} users, {len(data.items):,} items; "
        f"{args.users:,} users judged, threads: {args.threads}\n{HEAD}",
        flush=True,
    )
    del data
    for name in args.models:
        command = [
            sys.executable,
            __file__,
            "--one",
            name,
            "--out",
            str(args.out),
            "--users",
            str(args.users),
        ]
        subprocess.run([*command, "--threads", str(args.threads)], check=True)  # noqa: S603 - ourselves


def measured(name: str, folder: Path, users: int) -> str:
    """A line of the table, of this process."""
    clock = [time.perf_counter()]

    def lap() -> float:
        clock.append(time.perf_counter())
        return clock[-1] - clock[-2]

    data = load_dataset(DATASET, folder)
    split = LeaveOneOut()(data.interactions)
    before, cases = split.before("test"), evaluation_set(split, "test", users)
    loaded = lap()
    model = MODELS[name]().fit(before, data.items, None)
    fitted = lap()
    found = evaluate(model, cases, (K,), method=name, masked=True)
    judged = lap()
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kilobytes
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    return (
        f"{name:12}{loaded:>12.1f} s{fitted:>10.1f} s{judged:>10.1f} s{1000 * judged / len(cases.users):>9.2f} ms"
        f"{peak:>11.2f} GB{found.summary[f'ndcg@{K}']:>10.4f}"
    )


if __name__ == "__main__":
    main()
