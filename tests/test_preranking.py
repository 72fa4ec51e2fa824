"""Tastes, lists to learn from, and the pre-ranker of a pipeline."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pipeline_world import LONER, N_ITEMS, NOBODY, dataset, in_order

from genrec.data.histories import Histories
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.preranking import TastePreRanker, candidate_lists, tastes, training_lists
from genrec.ranking.prerank import PreRank
from genrec.recall.ease import Ease
from genrec.recall.fusion import last_events
from genrec.recall.stored import Stored

DATA = dataset()
LOG = in_order(DATA.interactions)
HISTORIES = Histories.of(LOG)


@pytest.fixture(scope="module")
def features() -> ItemFeatures:
    """Of all items but two."""
    vectors = np.random.default_rng(0).normal(size=(N_ITEMS, 3)).astype(np.float32)
    present = np.ones(N_ITEMS, dtype=bool)
    present[[3, 7]] = False
    vectors[~present] = 0
    return ItemFeatures(vectors, present, "text", "test")


def test_a_taste_is_the_mean_of_the_newest_known_items(features: ItemFeatures) -> None:
    found = tastes(features, HISTORIES, last=4)
    norms = np.linalg.norm(features.vectors, axis=1, keepdims=True)
    unit = features.vectors / np.where(norms > 0, norms, 1)
    for user in range(HISTORIES.n_users):
        newest = HISTORIES[user][-4:]
        known = newest[features.present[newest]]
        expected = unit[known].mean(axis=0) if len(known) else np.zeros(3)
        np.testing.assert_allclose(found[user], expected, atol=1e-6)
    assert not found[LONER].any()


def test_lists_hold_what_was_taken_next(features: ItemFeatures) -> None:
    before, users, targets = last_events(LOG)
    recaller = Ease(l2=5.0).fit(before, DATA.items)
    lists = candidate_lists(recaller, features, Histories.of(before), users, targets, 10)
    assert lists.labels is not None
    np.testing.assert_array_equal(lists.candidates, recaller.recommend(users, 10).items)
    for row, target in enumerate(targets):
        assert lists.candidates[row][lists.labels[row] > 0].tolist() == [
            item for item in lists.candidates[row] if item == target
        ]
    again = training_lists(Ease(l2=5.0).fit(LOG, DATA.items), LOG, DATA.items, features, 10)
    np.testing.assert_array_equal(again.candidates, lists.candidates)  # it did not know the last events
    np.testing.assert_array_equal(again.users, lists.users)


def test_a_recaller_that_saw_the_last_events_is_refused(features: ItemFeatures) -> None:
    with pytest.raises(ConfigError, match="trained before"):
        training_lists(Stored("out/gone"), LOG, DATA.items, features, 10)


def test_untrained_it_keeps_the_order_of_recall(features: ItemFeatures) -> None:
    users = np.array([0, 5, NOBODY], np.int32)
    prerank = TastePreRanker(PreRank(3, hidden=(4,)), features, HISTORIES)
    items = np.tile(np.arange(6, dtype=np.int32), (3, 1))
    items[1, 4:] = -1
    scores = np.tile(np.linspace(2, 1, 6, dtype=np.float32), (3, 1))
    found = prerank(users, items, scores)
    assert (np.diff(found[[0, 2]], axis=1) < 0).all()
    assert np.isneginf(found[1, 4:]).all()


def test_it_knows_users_by_their_tastes(features: ItemFeatures) -> None:
    torch.manual_seed(0)
    model = PreRank(3, hidden=(8,))
    torch.nn.init.normal_(model.rest[-1].weight)  # type: ignore[arg-type]
    prerank = TastePreRanker(model, features, HISTORIES)
    items = np.tile(np.arange(6, dtype=np.int32), (3, 1))
    found = prerank(np.array([0, 1, NOBODY], np.int32), items, np.ones((3, 6), np.float32))
    assert not np.allclose(found[0], found[1])
    alone = prerank(np.array([LONER], np.int32), items[:1], np.ones((1, 6), np.float32))
    np.testing.assert_allclose(found[2], alone[0], rtol=1e-5)
