"""How much decoding, checking and writing cost: images per second of poster features against the bare network.

    python experiments/benchmark_posters.py FOLDER_OF_POSTERS

Times the whole pass over some posters (worker processes started, files decoded, vectors written) and the forward pass
of the same network on batches that are ready in memory, in turns, and prints the medians and their ratio: by the clock,
and by processor time, which other programs on the machine disturb less.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch

from genrec.data.tables import Dataset, Interactions, ItemTable, UserTable
from genrec.features.images.extract import Extraction
from genrec.features.images.loader import decoded_batches, default_workers
from genrec.features.images.names import named_model
from genrec.features.images.network import ImageNetwork
from genrec.features.images.posters import Poster, find_posters

READY = 4  # batches in memory, taken in turns


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of image files")
    parser.add_argument("--encoder", default="timm/tf_efficientnet_lite0")
    parser.add_argument("--weights", default="none", help="the speed is the same with any (default: none)")
    parser.add_argument("--posters", type=int, default=512, help="per repeat, a multiple of the batch size")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=default_workers())
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    network = named_model(given.encoder, given.weights).build().to(torch.device("cpu"))
    extraction = Extraction(network, given.batch_size, given.workers)
    data = catalogue(given.folder, given.posters)
    posters = find_posters(data.items, given.folder, given.folder)
    batches = ready_batches(extraction, posters)
    bare_pass(network, batches, READY * given.batch_size)  # both are warm after this
    bare, whole = [], []
    for _ in range(given.repeats):
        bare.append(timed(len(posters), lambda: bare_pass(network, batches, len(posters))))
        whole.append(timed(len(posters), lambda: whole_pass(extraction, data, posters)))
        print(f"bare {bare[-1].rate:7.1f}/s   whole pass {whole[-1].rate:7.1f}/s", flush=True)
    print(
        f"{network.name}, {len(posters)} posters, batches of {given.batch_size}, {torch.get_num_threads()} threads, "
        f"{given.workers} workers; medians: bare {median(one.rate for one in bare):.1f}/s, whole pass "
        f"{median(one.rate for one in whole):.1f}/s, ratio "
        f"{median(two.rate / one.rate for one, two in zip(bare, whole, strict=True)):.3f}; processor time per "
        f"poster: {1e3 * median(one.processor for one in bare):.1f} and "
        f"{1e3 * median(one.processor for one in whole):.1f} ms, ratio "
        f"{median(one.processor / two.processor for one, two in zip(bare, whole, strict=True)):.3f}"
    )


@dataclass(frozen=True)
class Cost:
    """Posters per second of the clock, and seconds of processors per poster."""

    rate: float
    processor: float


def timed(posters: int, job: Callable[[], object]) -> Cost:
    """What a job costs, the processes that it started included."""
    start, used = time.perf_counter(), processor_seconds()
    job()
    return Cost(posters / (time.perf_counter() - start), (processor_seconds() - used) / posters)


def processor_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


def catalogue(folder: Path, size: int) -> Dataset:
    """Items named like the first files of a folder, and no events."""
    names = sorted(path.stem for path in folder.iterdir())[:size]
    nothing = np.empty(0, dtype=np.int32)
    return Dataset(
        "posters",
        Interactions(nothing, nothing, n_users=0, n_items=len(names)),
        ItemTable(pd.DataFrame({"item_id": names})),
        UserTable(pd.DataFrame({"user_id": nothing})),
        content_hash="",
    )


def ready_batches(extraction: Extraction, posters: list[Poster]) -> list[torch.Tensor]:
    """Normalised pixels, float32 [B, 3, S, S] in the layout the network likes best."""
    size = extraction.batch_size
    rows = [[(at + row) % len(posters) for row in range(size)] for at in range(0, READY * size, size)]
    paths = [poster.path for poster in posters]
    decoded = decoded_batches(paths, rows, extraction.network.preparation, workers=0)
    return [batch.squares.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0) for batch in decoded]


def bare_pass(network: ImageNetwork, batches: list[torch.Tensor], posters: int) -> None:
    """The network alone, with batches side by side as in the whole pass."""
    threads = torch.get_num_threads()
    chosen = [batches[at // len(batches[0]) % READY] for at in range(0, posters, len(batches[0]))]
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for _ in pool.map(torch.inference_mode()(network.module), chosen):
            pass
    torch.set_num_threads(threads)


def whole_pass(extraction: Extraction, data: Dataset, posters: list[Poster]) -> None:
    """From files to file."""
    with tempfile.TemporaryDirectory() as folder:
        extraction(data, posters, Path(folder) / "features.npy")


if __name__ == "__main__":
    main()
