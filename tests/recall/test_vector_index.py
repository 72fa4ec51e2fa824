from __future__ import annotations

import numpy as np
import pytest
from battery import interactions
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.data.histories import Histories
from genrec.errors import ConfigError
from genrec.recall.vector_index import ExactIndex, FaissIndex, VectorIndex, search_unseen

FLAT = [ExactIndex(), FaissIndex("Flat")]


def vectors(n: int, width: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, width)).astype(np.float32)


@pytest.mark.parametrize("index", FLAT, ids=["exact", "faiss"])
@pytest.mark.parametrize("k", [1, 5, 40])
def test_flat_indexes_equal_brute_force(index: VectorIndex, k: int) -> None:
    items, queries = vectors(40), vectors(13, seed=1)
    scores, found = index.build(items).search(queries, k)
    expected = queries @ items.T
    np.testing.assert_array_equal(found, np.argsort(-expected, axis=1)[:, :k])
    np.testing.assert_allclose(scores, -np.sort(-expected, axis=1)[:, :k], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("index", [*FLAT, FaissIndex("HNSW8"), FaissIndex("IVF2,Flat")])
def test_more_than_the_catalogue_ends_in_nothing(index: VectorIndex) -> None:
    scores, found = index.build(vectors(100)).search(vectors(3, seed=1), 130)
    assert scores.shape == found.shape == (3, 130)
    assert scores.dtype == np.float32
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found == -1, np.isneginf(scores))
    assert (found[:, 100:] == -1).all()
    assert (scores[:, :-1] >= scores[:, 1:]).all()


def test_exact_search_does_not_depend_on_the_batch() -> None:
    items, queries = vectors(300, 33), vectors(50, 33, seed=1)
    scores, found = ExactIndex().build(items).search(queries, 20)
    blocks = ExactIndex(block=7).build(items).search(queries, 20)
    alone = [ExactIndex().build(items).search(query[None], 20) for query in queries]
    np.testing.assert_array_equal(blocks[0], scores)
    np.testing.assert_array_equal(np.concatenate([one[0] for one in alone]), scores)
    np.testing.assert_array_equal(np.concatenate([one[1] for one in alone]), found)


def test_exact_search_breaks_ties_by_no_order_of_ids() -> None:
    _, found = ExactIndex().build(np.ones((30, 4), np.float32)).search(np.ones((1, 4), np.float32), 30)
    assert sorted(found[0].tolist()) == list(range(30))
    assert found[0].tolist() != list(range(30))


def test_an_approximate_index_is_nearly_exact_with_effort_and_worse_without() -> None:
    items, queries = vectors(2000, 16), vectors(100, 16, seed=1)
    exact = ExactIndex().build(items).search(queries, 10)[1]

    def overlap(parameters: str) -> float:
        found = FaissIndex("IVF32,Flat", parameters).build(items).search(queries, 10)[1]
        return float((found[:, :, None] == exact[:, None, :]).any(axis=2).mean())

    assert overlap("nprobe=32") == 1.0
    assert overlap("nprobe=1") < overlap("nprobe=8") < 1.0


@pytest.mark.parametrize("factory", ["HNSW16", "IVF8,Flat"])
def test_two_builds_agree(factory: str) -> None:
    items, queries = vectors(500), vectors(20, seed=1)
    first = FaissIndex(factory).build(items).search(queries, 10)
    second = FaissIndex(factory).build(items).search(queries, 10)
    np.testing.assert_array_equal(first[1], second[1])


@pytest.mark.parametrize("index", FLAT, ids=["exact", "faiss"])
@given(
    pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 11)), max_size=40),
    k=st.integers(1, 14),
)
@settings(max_examples=25, deadline=None)
def test_unseen_search_equals_masking_every_score(
    index: VectorIndex, pairs: list[tuple[int, int]], k: int
) -> None:
    histories = Histories.of(interactions(pairs, 4, 12))
    items, queries = vectors(12), vectors(3, seed=1)
    users = np.array([3, 0, 1])
    scores, found = search_unseen(index.build(items), queries, k, histories, users)
    for row, user in enumerate(users):
        products = queries[row] @ items.T
        seen = set(histories[user].tolist())
        expected = [item for item in np.argsort(-products).tolist() if item not in seen][:k]
        assert found[row].tolist() == expected + [-1] * (k - len(expected))
        np.testing.assert_allclose(scores[row, : len(expected)], products[expected], rtol=1e-4, atol=1e-5)
        assert np.isneginf(scores[row, len(expected) :]).all()


@pytest.mark.parametrize(
    ("factory", "parameters", "n"),
    [("Nonsense", "", 100), ("Flat", "nprobe=3", 100), ("Flat", "unknown", 100), ("IVF64,Flat", "", 10)],
)
def test_what_faiss_cannot_do_is_one_sentence(factory: str, parameters: str, n: int) -> None:
    with pytest.raises(ConfigError, match=r"FaissIndex\.factory") as caught:
        FaissIndex(factory, parameters).build(vectors(n))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("index", FLAT, ids=["exact", "faiss"])
def test_k_and_block_must_be_positive(index: VectorIndex) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        index.build(vectors(5)).search(vectors(2), 0)
    with pytest.raises(ConfigError, match=r"ExactIndex\.block"):
        ExactIndex(block=0)


@pytest.mark.parametrize("index", FLAT, ids=["exact", "faiss"])
def test_no_queries_no_answers(index: VectorIndex) -> None:
    scores, found = index.build(vectors(5)).search(vectors(0), 3)
    assert scores.shape == found.shape == (0, 3)
