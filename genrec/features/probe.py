"""What features know of an item: how well a linear model tells a genre from them, on items it has not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from genrec.data.tables import ItemTable
from genrec.errors import DataError
from genrec.features.base import ItemFeatures
from genrec.features.columns import genre_pairs


def genre_auc(
    features: ItemFeatures,
    items: ItemTable,
    genre: str,
    *,
    seeds: Sequence[int] = range(5),
    held_out: float = 0.25,
    strength: float = 1e-3,
) -> NDArray[np.float64]:
    """Area under the ROC curve of a linear probe (Alain and Bengio, 2017), one per seed.

    A logistic regression on standardised features, fitted to some of the present items, ranks the rest.

    Args:
        genre: what is told, with or without.
        seeds: of the splits of the items.
        held_out: share of the items that is ranked; as many of the genre as elsewhere.
        strength: inverse of the L2 penalty; small, as there are about as many columns as items.

    Raises:
        DataError: fewer than four present items, or all, have the genre.
    """
    item, names = genre_pairs(items)
    labels = np.zeros(len(items), dtype=bool)
    labels[item[names == genre]] = True
    x, y = features.vectors[features.present], labels[features.present]
    if min(y.sum(), (~y).sum()) < 4:
        raise DataError(
            f"{y.sum()} of {len(y)} items with {features.modality} features are {genre}; the probe needs at least 4 "
            "with the genre and 4 without"
        )
    areas = []
    for seed in seeds:
        split = StratifiedShuffleSplit(1, test_size=held_out, random_state=seed)
        train, test = next(split.split(x, y))
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=500))
        probe.fit(x[train], y[train])
        areas.append(float(roc_auc_score(y[test], probe.decision_function(x[test]))))
    return np.array(areas)
