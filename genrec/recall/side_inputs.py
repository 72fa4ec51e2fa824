"""What can be known of users and items beside their ids, by name: inputs of towers, made of what the data has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.features.columns import column, genre_pairs
from genrec.recall.tower_inputs import (
    Count,
    Dense,
    ItemGenres,
    MeanRating,
    Prefixes,
    TopGenres,
    TowerInput,
)
from genrec.tokenizer.semantic_ids import SemanticIds


class Facts(NamedTuple):
    """What inputs can be made of; features and semantic ids where there are any."""

    train: Interactions
    items: ItemTable
    features: ItemFeatures | None = None
    ids: SemanticIds | None = None


def genre_table(items: ItemTable) -> NDArray[np.bool_]:
    """Genres of items, bool [N, G], in the order of their names."""
    item, genre = genre_pairs(items)
    names, columns = np.unique(genre.astype(str), return_inverse=True)
    table = np.zeros((len(items), len(names)), dtype=bool)
    table[item, columns] = True
    return table


Maker = Callable[[Facts, int], TowerInput | None]
"""Makes an input of a width from facts; None where the data says nothing of the kind."""


def _user_rating(facts: Facts, width: int) -> TowerInput | None:
    train, ratings = facts.train, _ratings(facts.train)
    return None if ratings is None else MeanRating(train.users, ratings, train.n_users)


def _item_rating(facts: Facts, width: int) -> TowerInput | None:
    train, ratings = facts.train, _ratings(facts.train)
    return None if ratings is None else MeanRating(train.items, ratings, train.n_items)


def _top_genres(facts: Facts, width: int) -> TowerInput | None:
    genres = genre_table(facts.items)
    return TopGenres(facts.train, genres, width) if genres.any() else None


def _item_genres(facts: Facts, width: int) -> TowerInput | None:
    genres = genre_table(facts.items)
    return ItemGenres(genres, width) if genres.any() else None


def _activity(facts: Facts, width: int) -> TowerInput | None:
    return Count(np.bincount(facts.train.users, minlength=facts.train.n_users), width)


def _popularity(facts: Facts, width: int) -> TowerInput | None:
    return Count(facts.train.item_counts(), width)


def _year(facts: Facts, width: int) -> TowerInput | None:
    years = column(facts.items, "year").astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
    present = np.isfinite(years)
    return Dense(np.where(present, years, 0.0)[:, None], present) if present.any() else None


def _features(facts: Facts, width: int) -> TowerInput | None:
    features = facts.features
    if features is None or not features.width:
        raise ConfigError(
            "TwoTower.item_inputs names 'features', but fit is given no item features; bind them in the script, or "
            "leave 'features' out"
        )
    return Dense(features.vectors, features.present, 4 * width)


def _prefixes(facts: Facts, width: int) -> TowerInput | None:
    if facts.ids is None:
        raise ConfigError(
            "TwoTower.item_inputs names 'prefixes', but there are no semantic ids; bind TwoTower.ids_path, or leave "
            "'prefixes' out"
        )
    return Prefixes(facts.ids.codes[:, : max(1, facts.ids.n_levels - 1)], 2 * width)


USER_INPUTS: Mapping[str, Maker] = {"genres": _top_genres, "rating": _user_rating, "activity": _activity}
ITEM_INPUTS: Mapping[str, Maker] = {
    "genres": _item_genres,
    "year": _year,
    "rating": _item_rating,
    "popularity": _popularity,
    "features": _features,
    "prefixes": _prefixes,
}
"""What may be known of an item beside its id."""


def inputs(names: Sequence[str], makers: Mapping[str, Maker], facts: Facts, width: int) -> list[TowerInput]:
    """The named inputs as far as the data has them."""
    made = [makers[name](facts, width) for name in names]
    return [one for one in made if one is not None]


def _ratings(train: Interactions) -> NDArray[np.float32] | None:
    """Ratings, if any is known."""
    known = train.ratings is not None and np.isfinite(train.ratings).any()
    return train.ratings if known else None
