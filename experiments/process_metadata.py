"""Turn TMDB's answers into four related tables: movies, people, who did what in which movie, genres and keywords.

    python experiments/process_metadata.py
    python experiments/process_metadata.py --dataset ml-latest-small

Reads what `experiments/crawl_metadata.py` fetched and writes Parquet files to `out/<dataset>/metadata/`, which
`genrec.features.tmdb.movie_text.MovieText` turns into texts (configs/model/features_tmdb_minilm.gin).
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import gin

from genrec import config
from genrec.artifacts import input_ref, stage_folder
from genrec.data.load import load_dataset
from genrec.data.registry import find
from genrec.features.tmdb.crawl import catalogue
from genrec.features.tmdb.metadata import MetadataStore
from genrec.features.tmdb.star import build_star, save_star


@gin.configurable
def process(
    *,
    dataset: str = "ml25m",
    dataset_folder: str | None = None,
    metadata_folder: str | None = None,
    out: str | None = None,
) -> None:
    """Write the tables.

    Args:
        dataset: ml-latest-small, ml20m, ml25m or ml32m; one whose links.csv has TMDB ids.
        dataset_folder: where the dataset's files are; dataset/<published name> if not given.
        metadata_folder: where the answers are; <dataset folder>/metadata if not given.
        out: output folder; out/<dataset>/metadata if not given.
    """
    data = load_dataset(dataset, dataset_folder)
    home = Path(dataset_folder) if dataset_folder else Path("dataset") / find(dataset).folder
    store = MetadataStore(Path(metadata_folder) if metadata_folder else home / "metadata")
    star = build_star([movie.movie_id for movie in catalogue(data.items)], store.read)
    folder = stage_folder(out, data.name, "metadata")
    save_star(
        star,
        folder,
        config=config.operative_text(),
        inputs={"dataset": input_ref(data.name, data.content_hash)},
        rerun=shlex.join(["python", *sys.argv]),
    )
    rows = ", ".join(f"{len(table)} rows in {name}" for name, table in star.tables.items())
    print(f"{len(star.movies)} of {len(data.items)} movies described: {rows}; in {folder}")


if __name__ == "__main__":
    sys.exit(config.main(process, description=__doc__, options={"dataset": str, "dataset_folder": str}))
