"""Time and memory of taking in a data set of MovieLens-32M's size: read, sort, store, load, split.

    python experiments/benchmark_ingest.py --ratings 32000000 --out FOLDER

writes a random release in the published CSV format into FOLDER (about 0.9 GB for 32 million ratings; delete it
afterwards) and prints, after each step, its seconds and the peak resident memory of the process so far.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.csv import CSVWriter, WriteOptions, write_csv

from genrec.data.load import load_dataset
from genrec.data.splits import LeaveOneOut

USERS, MOVIES, LAST_MOVIE_ID = 200_948, 87_585, 292_757  # of the release
USERS_AT_ONCE = 4096


def main() -> None:
    """Generate, ingest, load, split; print the figures of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--ratings", type=int, default=32_000_000, help="number of ratings (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the generated files")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with step("generate"):
        generate(arguments.out, arguments.ratings, np.random.default_rng(arguments.seed))
    with step("ingest (read, sort, hash, write)"):
        dataset = load_dataset("ml32m", arguments.out)
    with step("load"):
        dataset = load_dataset("ml32m", arguments.out)
    with step("split leave-one-out"):
        split = LeaveOneOut()(dataset.interactions)
    with step("train and validation merged"):
        split.before("test")
    print(
        f"{len(dataset.interactions)} ratings, {len(dataset.users)} users, {len(dataset.items)} items; {split}"
    )


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print the seconds of the block and the process's peak memory after it."""
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kilobytes
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(f"{name:34s} {seconds:8.2f} s   peak memory {peak / 1e9:5.2f} GB", flush=True)


def generate(folder: Path, ratings: int, rng: np.random.Generator) -> None:
    """`ratings.csv`, `movies.csv`, `links.csv` of a random release, sorted like the published one."""
    folder.mkdir(parents=True, exist_ok=True)
    movie_ids = np.sort(rng.choice(LAST_MOVIE_ID, MOVIES, replace=False) + 1)
    titles = [f"Film {number}, The ({1900 + number % 120})" for number in movie_ids]
    movies = {"movieId": movie_ids, "title": titles, "genres": ["Drama|War"] * MOVIES}
    write_csv(pa.table(movies), folder / "movies.csv")
    links = {"movieId": movie_ids, "imdbId": [f"{number:07d}" for number in movie_ids], "tmdbId": movie_ids}
    write_csv(pa.table(links), folder / "links.csv")
    schema = pa.schema(
        {"userId": pa.int32(), "movieId": pa.int32(), "rating": pa.float32(), "timestamp": pa.int64()}
    )
    activity = rng.lognormal(sigma=1.3, size=USERS)
    bounds = np.round(np.concatenate([[0], np.cumsum(activity)]) / activity.sum() * ratings).astype(np.int64)
    options = WriteOptions(include_header=False, quoting_style="none")
    with (
        (folder / "ratings.csv").open("wb") as file,
        CSVWriter(file, schema, write_options=options) as writer,
    ):
        file.write((",".join(schema.names) + "\n").encode())
        for start in range(0, USERS, USERS_AT_ONCE):
            block = _ratings(bounds[start : start + USERS_AT_ONCE + 1], start, movie_ids, rng)
            writer.write_table(pa.table(block, schema))


def _ratings(
    bounds: NDArray[np.int64], first_user: int, movie_ids: NDArray[np.int64], rng: np.random.Generator
) -> dict[str, NDArray[np.generic]]:
    """Distinct (user, movie) pairs of a block of users: `bounds[-1] - bounds[0]` rows, popular movies more often."""
    wanted = int(bounds[-1] - bounds[0])
    users = np.repeat(
        np.arange(len(bounds) - 1), 2 * np.diff(bounds) + 8
    )  # twice too many: some pairs repeat
    movies = (MOVIES * rng.random(len(users)) ** 2.5).astype(np.int64)
    pairs = np.unique(users * MOVIES + movies)
    kept = np.sort(rng.choice(pairs, wanted, replace=False))
    users, movies = np.divmod(kept, MOVIES)
    return {
        "userId": users + first_user + 1,
        "movieId": movie_ids[movies],
        "rating": rng.integers(1, 11, wanted) / 2,
        "timestamp": 900_000_000 + (users * 104_729) % 700_000_000 + rng.integers(0, 3_000_000, wanted),
    }


if __name__ == "__main__":
    main()
