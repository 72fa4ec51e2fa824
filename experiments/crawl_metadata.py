"""Fetch details, credits and keywords of a MovieLens release from TMDB, one request per movie.

    python experiments/crawl_metadata.py
    python experiments/crawl_metadata.py --dataset ml-latest-small
    python experiments/crawl_metadata.py --retry-failed

Needs TMDB_API_KEY or TMDB_ACCESS_TOKEN in the environment or in `.env`. Answers go, as they come, to
`<dataset folder>/metadata/*/<movieId>.json.gz`, what cannot be had to `experiments/failed_metadata.txt`. Run it again
after a stop of any kind: it goes on. Exit code 0: everything is there; 1: something could not be had; 2: refused; 130:
stopped. Then: `experiments/process_metadata.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gin

from genrec import config
from genrec.data.load import load_dataset
from genrec.data.registry import find
from genrec.features.tmdb.client import Tmdb
from genrec.features.tmdb.crawl import catalogue
from genrec.features.tmdb.crawl import crawl as fetch
from genrec.features.tmdb.credentials import find_credentials
from genrec.features.tmdb.metadata import MetadataStore


@gin.configurable
def crawl(
    *,
    dataset: str,
    dataset_folder: str | None = None,
    tmdb: Tmdb | None = None,
    failed_path: str = "experiments/failed_metadata.txt",
    retry_failed: bool = False,
    out: str | None = None,
) -> int:
    """Fetch details; the exit code says whether all are there.

    Args:
        dataset: ml-latest-small, ml20m, ml25m or ml32m; one whose links.csv has TMDB ids.
        dataset_folder: where the dataset's files are or go; dataset/<published name> if not given.
        tmdb: address, rate, threads and patience, for instance @client.Tmdb().
        failed_path: the list of failures: movieId, tmdbId and reason between tabs.
        retry_failed: try only the movies on that list.
        out: folder of the answers; <dataset folder>/metadata if not given.
    """
    credentials = find_credentials()
    movies = catalogue(load_dataset(dataset, dataset_folder).items)
    home = Path(dataset_folder) if dataset_folder else Path("dataset") / find(dataset).folder
    store = MetadataStore(Path(out) if out else home / "metadata")
    with (tmdb or Tmdb()).connect(credentials) as connection:
        outcome = fetch(store, movies, Path(failed_path), connection, retry_failed=retry_failed)
    print(outcome.sentence)
    return int(outcome.failed.total() > 0)


if __name__ == "__main__":
    options = {"dataset": str, "dataset_folder": str, "retry_failed": bool}
    sys.exit(
        config.main(crawl, description=__doc__, options=options, default_config="configs/metadata_ml25m.gin")
    )
