"""Prepare MovieLens 25M and check that everything is there for the tokenizer; the third of five commands.

    python experiments/download_posters.py     # posters, with a TMDB key
    python experiments/poster_features.py      # posters to vectors
    python experiments/ml25m.py                # this: tables, and whether all of it fits together
    python train_rqvae.py configs/rqvae_ml25m.gin
    python train_decoder.py configs/decoder_ml25m.gin

Reads the published files (downloads them if need be) into tables, and says what is missing and which command makes it.
Exit code 0: train_rqvae.py can run; 1: poster features are missing; 2: something does not fit.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gin
import numpy as np

from genrec import config
from genrec.data.load import load_dataset
from genrec.data.registry import find
from genrec.data.splits import LeaveOneOut, Splitter
from genrec.features.base import ItemEncoder
from genrec.features.build import build_features
from genrec.features.images.posters import list_posters
from genrec.features.poster_file import PosterFile
from genrec.features.poster_manifest import read_poster_manifest


@gin.configurable
def check(
    *,
    dataset: str,
    features: ItemEncoder,
    poster_feature_path: str,
    vae_input_dim: int | None = None,
    dataset_folder: str | None = None,
    poster_folder: str | None = None,
    splitter: Splitter | None = None,
) -> int:
    """Prepare and check; the exit code says whether the tokenizer can be trained.

    Args:
        dataset: ml25m, or another release with the same files.
        features: encoder of the items beside their posters, as in the tokenizer's configuration.
        poster_feature_path: what experiments/poster_features.py writes.
        vae_input_dim: the width that train.vae_input_dim is bound to, which the features must have.
        dataset_folder: where the dataset's files are or go; dataset/<published name> if not given.
        poster_folder: <dataset folder>/posters if not given.
        splitter: leave-one-out if not given.
    """
    data = load_dataset(dataset, dataset_folder)
    split = (splitter or LeaveOneOut())(data.interactions)
    items, ratings = len(data.items), len(data.interactions)
    rated = np.count_nonzero(data.interactions.item_counts())
    print(
        f"{data.name}: {ratings:,} ratings, {len(data.users):,} users, {items:,} items, {rated:,} of them rated"
    )
    print(split)
    home = Path(dataset_folder or Path("dataset") / find(dataset).folder)
    posters = len(list_posters(data.items, Path(poster_folder) if poster_folder else home / "posters", home))
    advice = "; python experiments/download_posters.py gets what TMDB has" if posters < items else ""
    print(f"posters: {posters:,} of {items:,} items{advice}")
    path = Path(poster_feature_path)
    if not path.is_file():
        print(f"poster features: {path} does not exist; python experiments/poster_features.py makes it")
        return 1
    encoded = PosterFile(poster_feature_path).encode(data.items, split.train)
    present = np.count_nonzero(encoded.present)
    manifest = read_poster_manifest(path)
    stale = manifest is not None and posters > items - manifest.counts["missing"]
    advice = "; posters have come since: run python experiments/poster_features.py again" if stale else ""
    print(
        f"poster features: {present:,} of {items:,} items, {encoded.width} columns, {encoded.encoder}{advice}"
    )
    described = build_features(features, data.items, split.train, poster_feature_path, vae_input_dim)
    parts = " + ".join(f"{width} {modality}" for modality, width in described.parts)
    print(
        f"item features: {described.width} columns ({parts}); train.vae_input_dim must be {described.width}"
    )
    print("ready: python train_rqvae.py configs/rqvae_ml25m.gin")
    return 0


if __name__ == "__main__":
    names = ("dataset", "dataset_folder", "poster_folder", "poster_feature_path")
    sys.exit(
        config.main(
            check,
            description=__doc__,
            options=dict.fromkeys(names, str),
            default_config="configs/check_ml25m.gin",
        )
    )
