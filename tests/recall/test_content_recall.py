"""Content-based recall and its hybrid with behaviour."""

from __future__ import annotations

import numpy as np
import pytest
from battery import RecallerBattery, assert_same, catalogue, checkerboard, interactions
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from genrec.data.tables import Interactions
from genrec.errors import ConfigError, DataError
from genrec.features.base import ItemFeatures
from genrec.recall.cf_content import CfContent, standardised
from genrec.recall.content import Content
from genrec.recall.ease import Ease
from genrec.recall.itemknn import ItemKnn
from genrec.recall.popularity import Popularity
from genrec.recall.usercf import UserCf
from genrec.recall.vector_index import FaissIndex

EVENTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), min_size=1, max_size=40)


class TestContent(RecallerBattery):
    def make(self, batch_size: int = 256) -> Content:
        return Content(batch_size=batch_size)


class TestContentWithDecayAndIndex(RecallerBattery):
    def make(self, batch_size: int = 256) -> Content:
        return Content(0.9, index=FaissIndex("Flat"), batch_size=batch_size)

    def test_equal_scores_do_not_go_to_low_ids(self) -> None:  # type: ignore[override]
        """FAISS has a tie rule of its own; users without a history are served without it."""


class TestCfContent(RecallerBattery):
    def make(self, batch_size: int = 256) -> CfContent:
        return CfContent(ItemKnn(10), batch_size=batch_size)


class TestCfContentOfOthers(RecallerBattery):
    def make(self, batch_size: int = 256) -> CfContent:
        return CfContent(Ease(5.0), UserCf(), 0.5, 0.5, batch_size=batch_size)


def described(vectors: NDArray[np.floating], present: list[bool] | None = None) -> ItemFeatures:
    known = np.ones(len(vectors), dtype=bool) if present is None else np.array(present)
    return ItemFeatures(np.where(known[:, None], vectors, 0).astype(np.float32), known, "text", "test")


@given(EVENTS, arrays(np.float32, (7, 3), elements=st.integers(-3, 3)))
@settings(max_examples=30)
def test_scores_are_cosines_with_the_sum_of_unit_features(
    pairs: list[tuple[int, int]], vectors: NDArray[np.float32]
) -> None:
    train = interactions(pairs, 6, 7)
    scores = Content().fit(train, catalogue(7), described(vectors)).scores(np.arange(6, dtype=np.int32))
    for user in range(6):
        units = {item: vectors[item] / max(np.linalg.norm(vectors[item]), 1e-9) for item in range(7)}
        profile = sum((units[item] for item in set(train.items[train.users == user].tolist())), np.zeros(3))
        length = np.linalg.norm(profile)
        if length > 1e-3:  # where unit vectors cancel out, rounding decides
            expected = [units[item] @ profile / length if vectors[item].any() else -2 for item in range(7)]
            np.testing.assert_allclose(scores[user], expected, atol=1e-4)
        elif length == 0 and not any(units[item].any() for item in train.items[train.users == user]):
            np.testing.assert_allclose(scores[user], train.item_counts())


def test_items_without_features_come_last_and_users_without_any_get_what_is_popular() -> None:
    vectors = np.array([[1, 0], [-1, 0], [0, 0], [0, 1], [0, 0]])
    features = described(vectors, [True, True, False, True, False])
    train = interactions([(0, 0), (1, 2), (2, 3), (3, 3)], 4, 5)
    fitted = Content().fit(train, catalogue(5), features)
    lists = fitted.recommend(np.array([0, 1], np.int32), 4)
    assert lists.items[0, :2].tolist() == [3, 1]  # cosines 0 and -1
    assert set(lists.items[0, 2:].tolist()) == {2, 4}
    assert lists.items[1, 0] == 3
    indexed = Content(index=FaissIndex("Flat")).fit(train, catalogue(5), features)
    np.testing.assert_array_equal(indexed.recommend(np.array([1], np.int32), 1).items, [[3]])


def test_recent_items_say_more() -> None:
    features = described(np.array([[1, 0], [0, 1], [1, 0], [0, 1]]))
    for order, best in (([0, 1], 3), ([1, 0], 2)):
        fitted = Content(0.5).fit(interactions([(0, item) for item in order], 1, 4), catalogue(4), features)
        assert fitted.recommend(np.array([0], np.int32), 1).items[0, 0] == best


def test_features_that_describe_nothing_are_as_none() -> None:
    nothing = described(np.zeros((20, 0)), [False] * 20)
    users = np.arange(30, dtype=np.int32)
    first = Content().fit(checkerboard(), catalogue(20), nothing).recommend(users, 5)
    assert_same(first, Content().fit(checkerboard(), catalogue(20), None).recommend(users, 5))


SCORES = arrays(np.float32, (3, 6), elements=st.floats(-100, 100, width=16) | st.just(float("-inf")))


@given(SCORES)
def test_standardised_scores_have_mean_0_and_deviation_1(scores: NDArray[np.float32]) -> None:
    found = standardised(scores)
    np.testing.assert_array_equal(np.isneginf(found), np.isneginf(scores))
    for before, after in zip(scores, found, strict=True):
        known = after[np.isfinite(after)]
        if len(known):
            assert known.mean() == pytest.approx(0, abs=1e-5)
            spread = np.ptp(before[np.isfinite(before)])
            assert known.std() == pytest.approx(1 if spread > 1e-3 else 0, abs=1e-3 if spread > 1e-3 else 2)


def rated(pairs: list[tuple[int, int]], ratings: list[float], n_items: int) -> Interactions:
    users, items = np.array(pairs, np.int32).T
    return Interactions(
        users.copy(), items.copy(), int(users.max()) + 1, n_items, ratings=np.array(ratings, np.float32)
    )


def test_scores_are_the_weighted_sum_on_one_scale() -> None:
    train = interactions([(0, 0), (0, 1), (1, 0), (1, 2), (2, 2), (2, 3)], 3, 5)
    users = np.arange(3, dtype=np.int32)
    parts = [one.fit(train, catalogue(5)).scores(users) for one in (ItemKnn(), Content())]
    cf, content = ((one - one.mean(1, keepdims=True)) / one.std(1, keepdims=True) for one in parts)
    found = CfContent(cf_weight=3, content_weight=2).fit(train, catalogue(5)).scores(users)
    np.testing.assert_allclose(found, 3 * cf + 2 * content, rtol=1e-4, atol=1e-5)


def test_only_liked_events_build_the_profile_but_all_are_masked() -> None:
    """Two users pair item 0 with 1; the last gave 0 five stars and 2, which goes with 3, one."""
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2), (2, 3), (3, 2), (3, 3), (4, 2), (4, 0)]
    train = rated(pairs, [5, 5, 5, 5, 5, 5, 5, 5, 1, float("nan")], 4)
    fitted = CfContent(cf_weight=1, content_weight=0).fit(train, catalogue(4))
    lists = fitted.recommend(np.array([4], np.int32), 4)
    assert lists.items[0].tolist() == [1, 3, -1, -1]
    np.testing.assert_array_equal(fitted.cf.histories[4], [0])
    everything = CfContent(cf_weight=1, content_weight=0, min_rating_threshold=0.5).fit(train, catalogue(4))
    np.testing.assert_array_equal(everything.cf.histories[4], [2, 0])


def test_a_user_who_liked_nothing_gets_what_is_most_liked() -> None:
    train = rated([(0, 0), (1, 1), (1, 2), (2, 1)], [1, 5, 4, 3], 4)
    lists = CfContent().fit(train, catalogue(4)).recommend(np.array([0], np.int32), 2)
    assert lists.items[0].tolist() == [1, 2]


def test_a_part_that_says_never_is_obeyed() -> None:
    class Never(Popularity):
        def _score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
            scores = super()._score(users).copy()
            scores[:, 1] = -np.inf
            return scores

    train = interactions([(0, 0), (1, 1), (1, 2), (2, 1)], 3, 4)
    lists = CfContent(Never()).fit(train, catalogue(4)).recommend(np.array([0], np.int32), 4)
    assert 1 not in lists.items[0]


def test_nothing_liked_at_all_is_one_sentence() -> None:
    with pytest.raises(DataError, match=r"rated 3\.0 or higher.*CfContent\.min_rating_threshold"):
        CfContent().fit(rated([(0, 0), (1, 1)], [1, 2], 2), catalogue(2))


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: Content(decay=0), "Content.decay"),
        (lambda: CfContent(cf_weight=-1), "CfContent.cf_weight"),
        (lambda: CfContent(content_weight=float("inf")), "CfContent.content_weight"),
        (lambda: CfContent(cf_weight=0, content_weight=0), "CfContent.cf_weight"),
        (lambda: CfContent(min_rating_threshold=float("nan")), "CfContent.min_rating_threshold"),
    ],
)
def test_bad_settings_are_named(make: object, argument: str) -> None:
    with pytest.raises(ConfigError, match=argument):
        make()  # type: ignore[operator]
