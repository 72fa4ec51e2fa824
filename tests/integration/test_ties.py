"""A recaller that knows nothing must score like chance on the path that every recaller takes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from genrec.data.splits import LeaveOneOut
from genrec.data.tables import Interactions, ItemTable
from genrec.evaluation.protocol import evaluate, evaluation_set
from genrec.features.base import ItemFeatures
from genrec.recall.base import ScoringRecaller

K, N_ITEMS, N_USERS = 10, 1000, 300


class Clueless(ScoringRecaller):
    """Gives every item the same score."""

    def _fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> None:
        self.n_items = train.n_items

    def _score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        return np.zeros((len(users), self.n_items), dtype=np.float32)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("first", [0, N_ITEMS - K])
def test_equal_scores_do_not_win(first: int, masked: bool) -> None:
    """All targets are at one end of the catalogue: breaking ties by item number would find every one, or none.

    In MovieLens low numbers are popular items, so that would look like knowledge.
    """
    rng = np.random.default_rng(0)
    history = rng.integers(K, N_ITEMS - K, size=(N_USERS, 4))
    targets = first + rng.integers(K, size=(N_USERS, 1))
    items = np.concatenate([history, targets], axis=1).astype(np.int32)
    events = Interactions(
        users=np.repeat(np.arange(N_USERS, dtype=np.int32), 5),
        items=items.ravel(),
        n_users=N_USERS,
        n_items=N_ITEMS,
        timestamps=np.tile(np.arange(5, dtype=np.int64), N_USERS),
    )
    split = LeaveOneOut()(events)
    table = ItemTable(pd.DataFrame({"item_id": np.arange(N_ITEMS)}))
    recaller = Clueless().fit(split.before("test"), table)
    found = evaluate(recaller, evaluation_set(split, "test"), (K,), method="clueless", masked=masked)
    assert found.summary[f"hitrate@{K}"] < 0.25  # one of the ten targets may be among the ten shown by chance
