"""Training, constrained generation and tokenizers side by side with what one would otherwise install.

    python experiments/benchmark_generative.py --quick
    pip install -e ".[bench]"       # the others; whatever is missing is left out and named

Every figure is a median over repetitions in which all contenders take turns, so that a busy machine slows all
alike. All compute in float32 with the same number of threads, uncompiled, on the same data, with the same
optimiser; batches are made beforehand. Models have the width and the encoder-decoder the size of the TIGER
paper. Nothing is learned that would mean anything: only time is measured, but for k-means, where error is, too.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from rivals.contest import CLOCKS, FULL, QUICK, TINY, Job, Result, Sizes, World, measure
from threadpoolctl import threadpool_limits

RIVALS = {  # module -> what pip is to be given for it
    "hf_t5": "transformers",
    "cornac_tiger": "cornac transformers",
    "rectokens_rq": "rectokens",
    "rectokens_t5": "rectokens transformers",
    "vector_quantize": "vector-quantize-pytorch",
    "semantic_id_rq": "--no-deps semantic-id",  # what it depends on does not go together with numpy 2.4
}
Make = Callable[[World], list[Job]]
OURS = {"genrec", "rivals"}  # what cannot be missing but by a bug


@dataclass(frozen=True)
class Section:
    """One table.

    Attributes:
        title: what is measured.
        unit: of the work of its jobs.
    """

    title: str
    unit: str


SECTIONS = {
    "training": Section("training of generative models", "target"),
    "generation": Section("constrained generation, {beams} beams", "request"),
    "walk": Section("the same from given logits: tree and beams alone", "request"),
    "quantiser": Section("training of a residual quantiser in an autoencoder", "step"),
    "kmeans": Section("residual k-means, {vectors:,} x {dimensions}, 3 x {codes}", "fit"),
}
TARGETS = (  # section, ours, theirs, how many times faster ours is to be
    ("training", "timeline", "tiger", 65.0),
    ("training", "tiger", "transformers T5, by length", 1.5),
    ("generation", "tiger", "transformers T5 generate", 20.0),
    ("generation", "tiger", "cornac TIGER generate_beam", 20.0),
)


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    sizes: Sizes = arguments.sizes
    torch.set_num_threads(arguments.threads)
    rivals = [load(name, packages) for name, packages in RIVALS.items()]
    torch.set_float32_matmul_precision("highest")  # one of them lowers it for everyone
    contenders = [import_module("rivals.own").SECTIONS, *filter(None, rivals)]
    world = World(sizes, arguments.dataset_folder)
    print(
        f"{arguments.threads} threads, float32, medians of {arguments.repeats}; {world.source}: "
        f"{world.histories.n_users:,} users, {world.histories.n_items:,} items, ids of {sizes.levels} x {sizes.codes}"
    )
    with threadpool_limits(arguments.threads):
        for name in arguments.only or SECTIONS:
            jobs = [job for sections in contenders if name in sections for job in sections[name](world)]
            report(name, sizes, measure(jobs, arguments.repeats), arguments.clock)
            del jobs
            gc.collect()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    size = parser.add_mutually_exclusive_group()
    for flag, sizes, what in (
        ("--quick", QUICK, "smaller batches: a few minutes"),
        ("--tiny", TINY, "only to see it run"),
    ):
        size.add_argument(flag, dest="sizes", action="store_const", const=sizes, help=what)
    parser.set_defaults(sizes=FULL)
    parser.add_argument("--threads", type=int, default=1, help="of every contender (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="repetitions (default: %(default)s)")
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="that ratios compare; `cpu` on a busy machine, one thread",
    )
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="sections to run (default: all)")
    parser.add_argument(
        "--dataset-folder",
        type=Path,
        default=Path("dataset/amazon-beauty"),
        help="Amazon Beauty, for real histories (default: %(default)s); synthetic ones if it is not there",
    )
    return parser.parse_args()


def load(module: str, packages: str) -> dict[str, Make] | None:
    """The sections of a rival; None, and a sentence, where it is not installed or does not run here."""
    try:
        return import_module(f"rivals.{module}").SECTIONS  # type: ignore[no-any-return]
    except ImportError as error:
        if (error.name or "").partition(".")[0] in OURS:
            raise
        names = " with ".join(name for name in packages.split() if not name.startswith("-"))
        print(f"{names} is left out ({error}); pip install {packages}")
        return None


def report(name: str, sizes: Sizes, results: Sequence[Result], clock: str) -> None:
    """A table: time per unit of work by both clocks, and by the one named, how it compares with each of ours."""
    section = SECTIONS[name]
    own = [result for result in results if result.job.own]
    print(f"\n{section.title.format_map(vars(sizes))}\n")
    heads = [f"vs {result.job.name}" for result in own]
    head = f"{'':32}{'wall':>12}{'cpu':>12}{section.unit + 's/s':>12}"
    print(head + "".join(f"{text:>{_wide(text)}}" for text in heads))
    for result in results:
        ratios = [f"{result.seconds(clock) / other.seconds(clock):,.2f} x" for other in own]
        cells = "".join(f"{text:>{_wide(head)}}" for text, head in zip(ratios, heads, strict=True))
        note = ", ".join(filter(None, [result.quality, result.job.note]))
        times = f"{_duration(result.wall):>12}{_duration(result.cpu):>12}{1 / result.seconds(clock):>12,.1f}"
        print(f"{result.job.name:32}{times}{cells}   {note}")
    for line in verdicts(name, results):
        print(line)


def verdicts(name: str, results: Sequence[Result]) -> list[str]:
    """What the section says about the targets, for those whose contenders took part."""
    found = {result.job.name: result for result in results}
    lines = []
    for section, ours, theirs, factor in TARGETS:
        if section == name and ours in found and theirs in found:
            wall, cpu = (found[theirs].seconds(clock) / found[ours].seconds(clock) for clock in CLOCKS)
            asked = f"{ours} at least {factor:g} x as fast as {theirs}"
            lines.append(f"target: {asked}: {wall:,.1f} x on the wall, {cpu:,.1f} x by processor time")
    return lines


def _wide(head: str) -> int:
    return max(len(head), 9) + 2


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.2f} ms"


if __name__ == "__main__":
    main()
