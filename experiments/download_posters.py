"""Download the posters of a MovieLens release from TMDB.

    python experiments/download_posters.py
    python experiments/download_posters.py --dataset ml-latest-small
    python experiments/download_posters.py --retry-failed

Needs TMDB_API_KEY or TMDB_ACCESS_TOKEN in the environment or in `.env`. Posters go to
`<dataset folder>/posters/<movieId>.jpg`, what cannot be had to `experiments/failed_posters.txt`. Run it again after a
stop of any kind: it goes on. Exit code 0: every poster is there; 1: some could not be had; 2: refused; 130: stopped.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gin

from genrec import config
from genrec.data.load import load_dataset
from genrec.data.registry import find
from genrec.features.tmdb.client import Tmdb
from genrec.features.tmdb.crawl import catalogue, crawl
from genrec.features.tmdb.credentials import find_credentials
from genrec.features.tmdb.posters import PosterStore


@gin.configurable
def download(
    *,
    dataset: str,
    dataset_folder: str | None = None,
    tmdb: Tmdb | None = None,
    failed_path: str = "experiments/failed_posters.txt",
    retry_failed: bool = False,
    out: str | None = None,
) -> int:
    """Download posters; the exit code says whether all are there.

    Args:
        dataset: ml-latest-small, ml20m, ml25m or ml32m; one whose links.csv has TMDB ids.
        dataset_folder: where the dataset's files are or go; dataset/<published name> if not given.
        tmdb: addresses, size, rate and patience, for instance @client.Tmdb().
        failed_path: the list of failures: movieId, tmdbId and reason between tabs.
        retry_failed: try only the movies on that list.
        out: folder of the posters; <dataset folder>/posters if not given.
    """
    credentials = find_credentials()
    movies = catalogue(load_dataset(dataset, dataset_folder).items)
    home = Path(dataset_folder) if dataset_folder else Path("dataset") / find(dataset).folder
    store = PosterStore(Path(out) if out else home / "posters")
    with (tmdb or Tmdb()).connect(credentials) as connection:
        outcome = crawl(store, movies, Path(failed_path), connection, retry_failed=retry_failed)
    print(outcome.sentence)
    return int(outcome.failed.total() > 0)


if __name__ == "__main__":
    options = {"dataset": str, "dataset_folder": str, "retry_failed": bool}
    sys.exit(
        config.main(
            download, description=__doc__, options=options, default_config="configs/posters_ml25m.gin"
        )
    )
