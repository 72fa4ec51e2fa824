"""Training of rank models side by side with torch-rechub, and how far the same models of other packages are apart.

    OMP_NUM_THREADS=1 python experiments/benchmark_ranking.py
    pip install torch-rechub deepctr-torch     # the others; whatever is missing is left out and named
    python experiments/benchmark_ranking.py --parity

Every figure is a median over repetitions in which all contenders take turns, so that a busy machine slows all alike.
All read the same rows of MovieLens 100K with the same features in batches of the same size, have layers of the same
width, compute in float32 with the same number of threads and the same optimiser. In the first two tables batches were
made beforehand; in the third, every package makes its own. torch-rechub puts batch normalisation into every layer,
which the papers do not; it is measured with it and without.

`--parity` copies the weights of genrec's models into those of the others, and prints the largest difference of
the probabilities that they give.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch
from rivals.contest import CLOCKS, Result, measure
from rivals.rank_contest import FULL_RANK, TINY_RANK, RankWorld
from threadpoolctl import threadpool_limits

SECTIONS = {
    "deepfm": "DeepFM, batches made beforehand",
    "din": "DIN, batches made beforehand",
    "loop": "with the package's own batches",
}
RIVALS = {"rechub_rank": "torch-rechub"}  # module -> what pip is to be given for it
PARITIES = {"rechub_parity": "torch-rechub", "deepctr_parity": "deepctr-torch"}
OURS = {"genrec", "rivals"}  # what cannot be missing but by a bug
CLOSE = 2e-6  # in float32


def main() -> int:
    """Measure or compare, and print; 1 where models on the same weights differ."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    world = RankWorld(arguments.sizes, arguments.dataset_folder)
    sizes = world.sizes
    print(
        f"{arguments.threads} threads, {world.source}: {len(world.rows):,} rows, {sizes.rows} in a batch, vectors of "
        f"{sizes.width}, histories of {sizes.history}"
    )
    if arguments.parity:
        return parity(world)
    contenders = [import_module("rivals.rank_own"), *filter(None, (load(*one) for one in RIVALS.items()))]
    with threadpool_limits(arguments.threads):
        for name in arguments.only or SECTIONS:
            jobs = [job for module in contenders for job in module.SECTIONS[name](world)]
            print(
                f"\n{SECTIONS[name]}, float32, medians of {arguments.repeats} by the {arguments.clock} clock\n"
            )
            print(table(measure(jobs, arguments.repeats), arguments.clock))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tiny",
        dest="sizes",
        action="store_const",
        const=TINY_RANK,
        default=FULL_RANK,
        help="only to see it run",
    )
    parser.add_argument("--parity", action="store_true", help="compare what models say instead")
    parser.add_argument("--threads", type=int, default=1, help="of every contender (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="repetitions (default: %(default)s)")
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="`cpu` on a busy machine, one thread (default: %(default)s)",
    )
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="tables to make (default: all)")
    parser.add_argument(
        "--dataset-folder",
        type=Path,
        default=Path("dataset/ml-100k"),
        help="MovieLens 100K (default: %(default)s); synthetic ratings if it is not there",
    )
    return parser.parse_args()


def load(module: str, package: str) -> ModuleType | None:
    """A rival; None, and a sentence, where it is not installed or does not run here."""
    try:
        return import_module(f"rivals.{module}")
    except ImportError as error:
        if (error.name or "").partition(".")[0] in OURS:
            raise
        print(f"{package} is left out ({error}); pip install {package}")
        return None


def table(results: list[Result], clock: str) -> str:
    """Rows per second, and how many times faster each of ours is than each of the others."""
    own = [one for one in results if one.job.own]
    heads = "".join(f"{'vs ' + one.job.name:>14}" for one in own)
    lines = [f"{'':32}{'rows/s':>12}{heads}"]
    for result in results:
        ratios = "".join(f"{result.seconds(clock) / one.seconds(clock):>12.2f} x" for one in own)
        lines.append(f"{result.job.name:32}{1 / result.seconds(clock):>12,.0f}{ratios}   {result.job.note}")
    return "\n".join(lines)


def parity(world: RankWorld) -> int:
    """Print the differences; 1 if one is too large."""
    worst = 0.0
    for name, package in PARITIES.items():
        module = load(name, package)
        for model, difference in (module.parity(world) if module else {}).items():
            print(
                f"{package:16}{model:24}{difference:>10.1e}   {'equal' if difference <= CLOSE else 'DIFFERENT'}"
            )
            worst = max(worst, difference)
    return int(worst > CLOSE)


if __name__ == "__main__":
    raise SystemExit(main())
