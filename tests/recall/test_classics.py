"""The classic recallers: the shared battery, and each one's own formula on data small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest
from battery import RecallerBattery, catalogue, interactions
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.data.histories import Histories
from genrec.data.tables import NO_TIMESTAMP, Interactions
from genrec.errors import ConfigError
from genrec.recall.base import ScoringRecaller
from genrec.recall.ease import Ease, ease_weights
from genrec.recall.history import SECONDS_PER_DAY, history_matrix
from genrec.recall.itemknn import ItemKnn
from genrec.recall.popularity import Popularity, RecentPopularity, WindowedPopularity


class TestPopularity(RecallerBattery):
    personal = False

    def make(self, batch_size: int = 256) -> Popularity:
        return Popularity(batch_size)


class TestRecentPopularity(RecallerBattery):
    personal = False

    def make(self, batch_size: int = 256) -> RecentPopularity:
        return RecentPopularity(batch_size=batch_size)


class TestWindowedPopularity(RecallerBattery):
    personal = False

    def make(self, batch_size: int = 256) -> WindowedPopularity:
        return WindowedPopularity(days=3, batch_size=batch_size)


class TestItemKnn(RecallerBattery):
    def make(self, batch_size: int = 256) -> ItemKnn:
        return ItemKnn(neighbours=10, batch_size=batch_size)


class TestItemKnnWithDecay(RecallerBattery):
    def make(self, batch_size: int = 256) -> ItemKnn:
        return ItemKnn(neighbours=10, shrink=2.0, decay=0.9, batch_size=batch_size)


class TestEase(RecallerBattery):
    def make(self, batch_size: int = 256) -> Ease:
        return Ease(l2=5.0, batch_size=batch_size)


class TestEaseWithDecay(RecallerBattery):
    def make(self, batch_size: int = 256) -> Ease:
        return Ease(l2=5.0, decay=0.95, batch_size=batch_size)


EVENTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), min_size=1, max_size=40)


def test_popularity_counts_events() -> None:
    train = interactions([(0, 2), (1, 2), (0, 1)], 2, 4)
    lists = Popularity().fit(train, catalogue(4)).recommend(np.array([0], np.int32), 2, exclude_seen=False)
    np.testing.assert_array_equal(lists.items, [[2, 1]])
    np.testing.assert_array_equal(lists.scores, [[2.0, 1.0]])


def days(users: list[int], items: list[int], ages: list[float | None]) -> Interactions:
    """Events whose ages are given in days before 1,000 days; None is a missing timestamp."""
    times = [NO_TIMESTAMP if age is None else round((1000 - age) * SECONDS_PER_DAY) for age in ages]
    return Interactions(
        np.array(users, np.int32), np.array(items, np.int32), max(users) + 1, 4, timestamps=np.array(times)
    )


def test_recent_popularity_halves_with_every_half_life() -> None:
    train = days([0, 0, 1, 1], [0, 0, 1, 2], [20, 10, 0, 30])
    recaller = RecentPopularity(half_life_days=10).fit(train, catalogue(4))
    np.testing.assert_allclose(recaller.weights, [0.25 + 0.5, 1.0, 0.125, 0.0])


def test_an_event_without_a_time_is_as_old_as_the_oldest() -> None:
    train = days([0, 0, 1], [0, 1, 2], [20, None, 0])
    recaller = RecentPopularity(half_life_days=10).fit(train, catalogue(4))
    np.testing.assert_allclose(recaller.weights, [0.25, 0.25, 1.0, 0.0])


@pytest.mark.parametrize("times", [None, np.full(5, NO_TIMESTAMP)])
def test_recent_popularity_without_times_goes_by_the_order_of_each_history(times: np.ndarray | None) -> None:
    train = Interactions(
        np.array([0, 0, 0, 0, 1], np.int32), np.array([0, 1, 2, 3, 3], np.int32), 3, 4, timestamps=times
    )
    recaller = RecentPopularity(half_life_share=0.25).fit(train, catalogue(4))
    np.testing.assert_allclose(recaller.weights, [0.125, 0.25, 0.5, 2.0])


def test_a_window_counts_events_up_to_its_edge() -> None:
    train = days([0, 0, 0, 1, 1], [0, 1, 2, 2, 3], [20, 10, None, 0, 11])
    recaller = WindowedPopularity(days=10).fit(train, catalogue(4))
    np.testing.assert_array_equal(recaller.weights, [0, 1, 1, 0])


@pytest.mark.parametrize(
    ("share", "weights"), [(0.25, [0, 0, 0, 2]), (0.26, [0, 0, 1, 2]), (1, [1, 1, 1, 2])]
)
def test_a_window_without_times_is_the_last_share_of_each_history(share: float, weights: list[int]) -> None:
    train = Interactions(np.array([0, 0, 0, 0, 1], np.int32), np.array([0, 1, 2, 3, 3], np.int32), 3, 4)
    recaller = WindowedPopularity(share=share).fit(train, catalogue(4))
    np.testing.assert_array_equal(recaller.weights, weights)


def test_history_matrix_decays_with_age_and_counts_an_item_once() -> None:
    histories = Histories.of(interactions([(0, 1), (0, 2), (0, 3), (2, 4), (2, 4)], 3, 5))
    matrix = history_matrix(histories, np.array([2, 1, 0]), decay=0.5).toarray()
    np.testing.assert_allclose(matrix, [[0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0.25, 0.5, 1, 0]])


@given(EVENTS)
@settings(max_examples=30, deadline=None)
def test_without_decay_the_history_matrix_is_the_interaction_matrix(pairs: list[tuple[int, int]]) -> None:
    train = interactions(pairs, 6, 7)
    matrix = history_matrix(Histories.of(train), np.arange(6))
    np.testing.assert_array_equal(matrix.toarray(), train.matrix().toarray())


def test_each_candidate_keeps_its_own_neighbours() -> None:
    """Item 0 goes with 1, 2 and 3, which never meet: it is the one neighbour of each, and each must profit."""
    train = interactions([(0, 0), (0, 1), (1, 0), (1, 2), (2, 0), (2, 3), (3, 0)], 4, 5)
    lists = ItemKnn(neighbours=1).fit(train, catalogue(5)).recommend(np.array([3], np.int32), 4)
    assert set(lists.items[0, :3].tolist()) == {1, 2, 3}
    np.testing.assert_allclose(lists.scores[0], [0.5, 0.5, 0.5, 0.0])


def test_itemknn_prefers_what_the_newest_item_resembles() -> None:
    """Items 0, 1 go together and 2, 3 go together; the last user saw 0, then 2."""
    train = interactions(
        [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2), (2, 3), (3, 2), (3, 3), (4, 0), (4, 2)], 5, 4
    )
    last = np.array([4], np.int32)
    for order, best in (([0, 2], 3), ([2, 0], 1)):
        train.items[-2:] = order
        fitted = ItemKnn(decay=0.5).fit(train, catalogue(4))
        assert fitted.recommend(last, 1).items[0, 0] == best


@given(EVENTS, st.sampled_from([0.5, 10.0]))
@settings(max_examples=30, deadline=None)
def test_ease_minimises_the_ridge_loss_under_a_zero_diagonal(pairs: list[tuple[int, int]], l2: float) -> None:
    """Column by column, EASE is ridge regression on the other columns: an oracle that shares no formula with it."""
    matrix = interactions(pairs, 6, 7).matrix()
    dense = matrix.toarray().astype(float)
    weights = ease_weights(matrix, l2)
    for item in range(7):
        others = np.delete(dense, item, axis=1)
        ridge = np.linalg.solve(others.T @ others + l2 * np.eye(6), others.T @ dense[:, item])
        np.testing.assert_allclose(weights[:, item], np.insert(ridge, item, 0.0), atol=1e-5)


def test_ease_refuses_a_catalogue_that_would_not_fit_and_says_how_much_it_needs() -> None:
    train = interactions([(0, 0)], 1, 50_000)
    with pytest.raises(ConfigError, match=r"20 GB for 50,000 items, and Ease\.max_items is 30,000"):
        Ease().fit(train, catalogue(1))


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: Popularity(0), "Popularity.batch_size"),
        (lambda: RecentPopularity(half_life_days=0), "RecentPopularity.half_life_days"),
        (lambda: RecentPopularity(half_life_share=float("nan")), "RecentPopularity.half_life_share"),
        (lambda: WindowedPopularity(days=-1), "WindowedPopularity.days"),
        (lambda: WindowedPopularity(share=0), "WindowedPopularity.share"),
        (lambda: ItemKnn(half_life_days=0), "ItemKnn.half_life_days"),
        (lambda: ItemKnn(neighbours=0), "ItemKnn.neighbours"),
        (lambda: ItemKnn(shrink=-1), "ItemKnn.shrink"),
        (lambda: ItemKnn(decay=0), "ItemKnn.decay"),
        (lambda: Ease(l2=0), "Ease.l2"),
        (lambda: Ease(decay=1.1), "Ease.decay"),
    ],
)
def test_bad_settings_are_named(make: object, argument: str) -> None:
    with pytest.raises(ConfigError, match=argument):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("recaller", [ItemKnn(), Ease(l2=1.0)], ids=["itemknn", "ease"])
def test_a_cold_user_gets_what_is_popular(recaller: ScoringRecaller) -> None:
    users, items = np.array([0, 0, 0, 1, 1, 2], np.int32), np.array([4, 2, 0, 4, 2, 4], np.int32)
    train = Interactions(users, items, n_users=4, n_items=6)
    lists = recaller.fit(train, catalogue(6)).recommend(np.array([3], np.int32), 3)
    assert lists.items[0].tolist() == [4, 2, 0]
