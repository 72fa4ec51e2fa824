"""Neighbours of items and of users, against brute force on tiny matrices."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from battery import RecallerBattery, catalogue, interactions
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from genrec.data.histories import Histories
from genrec.data.tables import NO_TIMESTAMP, Interactions
from genrec.errors import ConfigError
from genrec.recall import cosine
from genrec.recall.cosine import Cosine
from genrec.recall.history import SECONDS_PER_DAY, history_matrix
from genrec.recall.itemknn import ItemKnn
from genrec.recall.products import dense_product
from genrec.recall.usercf import UserCf

EVENTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), min_size=1, max_size=40)


class TestItemKnnByUserFrequency(RecallerBattery):
    def make(self, batch_size: int = 256) -> ItemKnn:
        return ItemKnn(
            neighbours=10, inverse_user_frequency=True, half_life_days=0.5, decay=0.99, batch_size=batch_size
        )


class TestUserCf(RecallerBattery):
    def make(self, batch_size: int = 256) -> UserCf:
        return UserCf(n_neighbors=8, batch_size=batch_size)


class TestUserCfWithThresholds(RecallerBattery):
    def make(self, batch_size: int = 256) -> UserCf:
        return UserCf(n_neighbors=40, similarity_threshold=0.15, batch_size=batch_size)


def brute_force(matrix: NDArray[np.float64], shrink: float) -> NDArray[np.float64]:
    """Cosines between columns, 0 with themselves."""
    norms = np.linalg.norm(matrix, axis=0)
    found = (matrix.T @ matrix) / np.maximum(np.outer(norms, norms) + shrink, 1e-9)
    np.fill_diagonal(found, 0.0)
    return found


def sparse(rows: int, columns: int, rng: np.random.Generator) -> sp.csr_array:
    full = rng.standard_normal((rows, columns)) * (rng.random((rows, columns)) < 0.3)
    return sp.csr_array(full.astype(np.float32))


@pytest.mark.parametrize("mkl", [True, False])
@pytest.mark.parametrize("shape", [(5, 6, 7), (1, 30, 1), (0, 3, 2), (2, 0, 3), (2, 3, 0)])
def test_products_with_and_without_mkl(
    shape: tuple[int, int, int], mkl: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = sparse(*shape[:2], np.random.default_rng(0)), sparse(*shape[1:], np.random.default_rng(1))
    if not mkl:
        monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    found = dense_product(left, right)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, left.toarray() @ right.toarray(), rtol=1e-5, atol=1e-6)
    wide = sp.csr_array((left.data, left.indices.astype(np.int64), left.indptr.astype(np.int64)), left.shape)
    np.testing.assert_allclose(dense_product(wide, right), found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_products_of_a_row_do_not_depend_on_its_company(threads: int) -> None:
    left, right = sparse(50, 40, np.random.default_rng(0)), sparse(40, 60, np.random.default_rng(1))
    whole = dense_product(left, right)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for size in (1, 7, 49):
            np.testing.assert_array_equal(dense_product(left[3 : 3 + size], right), whole[3 : 3 + size])
    finally:
        torch.set_num_threads(before)


@given(pairs=EVENTS, k=st.integers(1, 9), shrink=st.sampled_from([0.0, 1.5]))
@settings(max_examples=40)
def test_neighbours_equal_brute_force(pairs: list[tuple[int, int]], k: int, shrink: float) -> None:
    matrix = interactions(pairs, 6, 7).matrix()
    expected = brute_force(matrix.toarray().astype(float), shrink)
    found = Cosine(matrix, shrink).nearest(np.arange(7), k).toarray()
    for item in range(7):
        kept = found[item] > 0
        assert kept.sum() == min(k, int((expected[item] > 0).sum()))
        np.testing.assert_allclose(found[item][kept], expected[item][kept], rtol=1e-5)
        assert expected[item][~kept].max(initial=0) <= found[item][kept].min(initial=np.inf) + 1e-6


@given(pairs=EVENTS, least=st.integers(1, 3), threshold=st.sampled_from([0.0, 0.3, 0.7]))
@settings(max_examples=25)
def test_pairs_with_little_in_common_are_not_neighbours(
    pairs: list[tuple[int, int]], least: int, threshold: float
) -> None:
    matrix = interactions(pairs, 6, 7).matrix()
    dense = matrix.toarray().astype(float)
    expected = brute_force(dense, 0.0)
    expected[dense.T @ dense < least] = 0.0
    clear = np.abs(expected - threshold) > 1e-6  # rounding may decide the others
    expected[expected < threshold] = 0.0
    found = Cosine(matrix, least=least).nearest(np.arange(7), 7, threshold).toarray()
    np.testing.assert_allclose(found[clear], expected[clear], atol=1e-6)


def test_blocks_and_threads_change_no_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    pairs = list(zip(rng.integers(0, 40, 400).tolist(), rng.integers(0, 23, 400).tolist(), strict=True))
    matrix = interactions(pairs, 40, 23).matrix()
    columns = np.array([3, 22, 0, 3, 7])
    whole = Cosine(matrix).nearest(columns, 5).toarray()
    everyone = Cosine(matrix).nearest(np.arange(23), 5).toarray()
    np.testing.assert_array_equal(whole, everyone[columns])
    monkeypatch.setattr(cosine, "_CELLS", 50)
    np.testing.assert_array_equal(Cosine(matrix).nearest(columns, 5).toarray(), whole)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        np.testing.assert_array_equal(Cosine(matrix).nearest(columns, 5).toarray(), whole)
    finally:
        torch.set_num_threads(threads)


def test_no_columns_have_no_neighbours() -> None:
    assert Cosine(sp.csr_array(np.eye(3, dtype=np.float32))).nearest(np.arange(0), 2).shape == (0, 3)


@given(EVENTS)
@settings(max_examples=25)
def test_whoever_takes_everything_says_little(pairs: list[tuple[int, int]]) -> None:
    train = interactions(pairs, 6, 7)
    dense = train.matrix().toarray().astype(float)
    weights = 1 / np.log1p(np.maximum(dense.sum(axis=1), 1))
    expected = brute_force(dense * np.sqrt(weights)[:, None], 0.0)
    fitted = ItemKnn(7, inverse_user_frequency=True).fit(train, catalogue(7))
    np.testing.assert_allclose(fitted.similarity.toarray().T, expected, atol=1e-5)


def hours(users: list[int], items: list[int], times: list[int | None]) -> Histories:
    """Histories with times in hours; None is a missing one."""
    seconds = [NO_TIMESTAMP if time is None else 3600 * time for time in times]
    users_, items_ = np.array(users, np.int32), np.array(items, np.int32)
    return Histories.of(Interactions(users_, items_, max(users) + 2, 5, timestamps=np.array(seconds)))


def test_an_event_weighs_half_for_each_half_life_before_the_newest_of_its_user() -> None:
    histories = hours([0, 0, 0, 2, 2], [0, 1, 2, 3, 4], [0, 24, 48, 5, 17])
    matrix = history_matrix(histories, np.array([2, 1, 0, 3]), half_life_days=1.0).toarray()
    np.testing.assert_allclose(matrix[0], [0, 0, 0, 0.5**0.5, 1], rtol=1e-6)
    np.testing.assert_allclose(matrix[2], [0.25, 0.5, 1, 0, 0], rtol=1e-6)
    assert not matrix[[1, 3]].any()
    both = history_matrix(histories, np.array([0]), decay=0.5, half_life_days=1.0).toarray()
    np.testing.assert_allclose(both[0], [0.25 * 0.25, 0.5 * 0.5, 1, 0, 0], rtol=1e-6)


def test_an_event_without_a_time_is_as_old_as_the_oldest_of_its_user() -> None:
    histories = hours([0, 0, 0, 1, 1], [0, 1, 2, 3, 4], [0, None, 24, None, None])
    matrix = history_matrix(histories, np.array([0, 1]), half_life_days=1.0).toarray()
    np.testing.assert_allclose(matrix, [[0.5, 0.5, 1, 0, 0], [0, 0, 0, 1, 1]], rtol=1e-6)


def test_a_half_life_without_any_times_changes_nothing() -> None:
    train = Interactions(np.array([0, 0], np.int32), np.array([1, 0], np.int32), 1, 2)
    matrix = history_matrix(Histories.of(train), np.array([0]), 0.5, half_life_days=0.1)
    np.testing.assert_allclose(matrix.toarray(), [[1, 0.5]])


def test_a_short_half_life_follows_the_last_session() -> None:
    """Items 0, 1 go together and 2, 3; the last user took 0 a month ago and 2 today."""
    pairs = [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (2, 0),
        (2, 1),
        (3, 2),
        (3, 3),
        (4, 2),
        (4, 3),
        (4, 1),
        (5, 0),
        (5, 2),
    ]
    train = interactions(pairs, 6, 4)
    assert train.timestamps is not None
    train.timestamps[-1] += 30 * SECONDS_PER_DAY
    last = np.array([5], np.int32)
    assert ItemKnn().fit(train, catalogue(4)).recommend(last, 1).items[0, 0] == 1
    assert ItemKnn(half_life_days=7).fit(train, catalogue(4)).recommend(last, 1).items[0, 0] == 3


@given(pairs=EVENTS, n=st.integers(1, 6), least=st.integers(1, 2))
@settings(max_examples=30)
def test_usercf_adds_up_what_neighbours_took(pairs: list[tuple[int, int]], n: int, least: int) -> None:
    train = interactions(pairs, 6, 7)
    dense = train.matrix().toarray().astype(float)
    similar = brute_force(dense.T, 0.0)
    similar[dense @ dense.T < least] = 0.0
    scores = UserCf(n, least).fit(train, catalogue(7)).scores(np.arange(6, dtype=np.int32))
    for user in range(6):
        best = np.sort(similar[user])[::-1][:n]
        others = [other for other in range(6) if similar[user, other] > 0]
        tied = len(others) > n and np.isclose(best[-1], np.sort(similar[user])[::-1][n])
        if not others:
            np.testing.assert_allclose(scores[user], np.bincount(train.items, minlength=7))
        elif not tied:
            kept = np.where(similar[user] >= best[best > 0].min() - 1e-9, similar[user], 0.0)
            np.testing.assert_allclose(scores[user], kept @ dense, rtol=1e-5, atol=1e-6)


def test_a_user_without_neighbours_gets_what_is_popular() -> None:
    train = interactions([(0, 0), (1, 1), (1, 2), (2, 1), (2, 3), (3, 1)], 4, 5)
    fitted = UserCf().fit(train, catalogue(5))
    assert fitted.recommend(np.array([0], np.int32), 1).items[0, 0] == 1
    picky = UserCf(min_common_items=2).fit(train, catalogue(5))
    np.testing.assert_allclose(picky.scores(np.array([1], np.int32))[0], [1, 3, 1, 1, 0])


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: UserCf(n_neighbors=0), "UserCf.n_neighbors"),
        (lambda: UserCf(min_common_items=0), "UserCf.min_common_items"),
        (lambda: UserCf(similarity_threshold=1.5), "UserCf.similarity_threshold"),
        (lambda: UserCf(similarity_threshold=float("nan")), "UserCf.similarity_threshold"),
    ],
)
def test_bad_settings_are_named(make: object, argument: str) -> None:
    with pytest.raises(ConfigError, match=argument):
        make()  # type: ignore[operator]
