"""How well a linear probe tells genres from poster features, on movies that it has not seen.

    python experiments/poster_probe.py configs/poster_probe_ml1m.gin

A check that features mean something, made in a minute: with an untrained network the areas fall towards one half.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import gin

from genrec import config
from genrec.data.load import load_dataset
from genrec.features.poster_file import PosterFile
from genrec.features.probe import genre_auc


@gin.configurable
def probe(
    *,
    dataset: str,
    poster_feature_path: str,
    dataset_folder: str | None = None,
    dataset_split: str | None = None,
    genres: Sequence[str] = ("Children's", "Western", "Animation"),
    splits: int = 5,
) -> None:
    """Print the area under the ROC curve of each genre.

    Args:
        dataset: ml100k, ml-latest-small, ml1m, ml1m-content, ml20m, ml25m, ml32m, amazon or custom.
        poster_feature_path: what experiments/poster_features.py wrote.
        dataset_folder: where the dataset's files are.
        dataset_split: category of a dataset that has several.
        genres: names as in the item table.
        splits: random splits of the movies into three quarters to fit and one to judge.
    """
    data = load_dataset(dataset, dataset_folder, dataset_split)
    features = PosterFile(poster_feature_path).encode(data.items, data.interactions)
    print(f"{int(features.present.sum())} posters, {features.width} columns, {features.encoder}")
    for genre in genres:
        areas = genre_auc(features, data.items, genre, seeds=range(splits))
        print(f"{genre:12s} AUC {areas.mean():.3f} ± {areas.std(ddof=1) if splits > 1 else 0:.3f}")


if __name__ == "__main__":
    names = ("dataset", "dataset_folder", "poster_feature_path")
    sys.exit(config.main(probe, description=__doc__, options=dict.fromkeys(names, str)))
