"""Neighbours by shared prefixes of semantic ids."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from battery import RecallerBattery, catalogue, checkerboard, interactions
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from genrec.artifacts import input_ref
from genrec.data.tables import ItemTable
from genrec.errors import ArtifactError, ConfigError
from genrec.features.base import ItemFeatures
from genrec.recall.prefix_knn import PrefixKnn
from genrec.recall.store import Origin, load_recaller, save_recaller
from genrec.tokenizer.semantic_ids import SemanticIds, catalogue_hash
from genrec.tokenizer.store import save_ids

EVENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 7)), min_size=1, max_size=30)


class ByColour(PrefixKnn):
    """With ids made up on the spot, for any catalogue: the colour is the first code."""

    def _codes(self, items: ItemTable) -> NDArray[np.int32]:
        item = np.arange(len(items), dtype=np.int32)
        return np.stack([item % 2, item // 2], axis=1)

    def reads(self) -> dict[str, dict[str, str]]:
        return {}


class TestPrefixKnn(RecallerBattery):
    def make(self, batch_size: int = 256) -> PrefixKnn:
        return ByColour("", batch_size=batch_size)


class TestPrefixKnnWithDecay(RecallerBattery):
    def make(self, batch_size: int = 256) -> PrefixKnn:
        return ByColour("", growth=1.5, popularity=0.0, decay=0.9, batch_size=batch_size)


class OfThree(ByColour):
    """Eight items below two first and four second codes."""

    def _codes(self, items: ItemTable) -> NDArray[np.int32]:
        return np.array(list(product(range(2), repeat=3)), np.int32)[: len(items)]


@given(EVENTS, st.sampled_from([1.0, 2.0, 3.0]), st.sampled_from([0.0, 0.5]))
@settings(max_examples=30)
def test_scores_equal_brute_force_over_pairs(
    pairs: list[tuple[int, int]], growth: float, popularity: float
) -> None:
    train = interactions(pairs, 5, 8)
    fitted = OfThree("", growth, popularity).fit(train, catalogue(8))
    similar = np.zeros((8, 8))
    for one, other in product(range(8), repeat=2):
        shared = [
            fitted.codes[one, :depth].tolist() == fitted.codes[other, :depth].tolist() for depth in (1, 2)
        ]
        similar[one, other] = (shared[0] + growth * shared[1]) * (one != other)
    expected = train.matrix().toarray() @ similar * (train.item_counts() + 1.0) ** popularity
    np.testing.assert_allclose(
        fitted.scores(np.arange(5, dtype=np.int32))[expected.any(1)], expected[expected.any(1)], rtol=1e-5
    )


def test_a_user_who_shares_no_code_gets_what_is_popular() -> None:
    class Apart(ByColour):
        def _codes(self, items: ItemTable) -> NDArray[np.int32]:
            return np.array([[0, 0], [1, 0], [1, 1], [1, 2]], np.int32)

    train = interactions([(0, 0), (1, 2), (2, 2), (3, 3)], 4, 4)
    lists = Apart("").fit(train, catalogue(4)).recommend(np.array([0], np.int32), 3)
    assert lists.items[0, :2].tolist() == [2, 3]


def stored(folder: Path, items: ItemTable, codes: NDArray[np.int32]) -> None:
    """Semantic ids as train_rqvae.py would leave them."""
    save_ids(
        folder,
        SemanticIds(codes, (2, len(items)), "test", catalogue_hash(items)),
        ItemFeatures(np.ones((len(items), 2), np.float32), np.ones(len(items), bool), "text", "test"),
        items,
        weights={},
        config="",
        config_hash="",
        dataset=input_ref("test", "hash"),
        split=input_ref("loo", "hash"),
        rerun="make it",
    )


def test_ids_come_from_the_artifact_and_are_kept_with_the_recaller(tmp_path: Path) -> None:
    items, train = catalogue(20), checkerboard()
    expected = ByColour("").fit(train, items)
    stored(tmp_path / "ids", items, expected.codes)
    fitted = PrefixKnn(str(tmp_path / "ids")).fit(train, items)
    users = np.arange(30, dtype=np.int32)
    np.testing.assert_array_equal(fitted.recommend(users, 5).items, expected.recommend(users, 5).items)
    manifest = save_recaller(tmp_path / "recaller", fitted, Origin("test", {}))
    assert manifest.inputs["semantic_ids"] == fitted.reads()["semantic_ids"]
    again = load_recaller(tmp_path / "recaller")
    assert isinstance(again, PrefixKnn)
    np.testing.assert_array_equal(again.recommend(users, 5).items, expected.recommend(users, 5).items)


def test_ids_of_another_catalogue_and_missing_ids_are_refused(tmp_path: Path) -> None:
    stored(tmp_path / "ids", catalogue(20), ByColour("")._codes(catalogue(20)))
    with pytest.raises(ArtifactError, match="another catalogue"):
        PrefixKnn(str(tmp_path / "ids")).fit(interactions([(0, 0)], 1, 5), catalogue(5))
    with pytest.raises(ArtifactError, match="gone"):
        PrefixKnn(str(tmp_path / "gone")).fit(checkerboard(), catalogue(20))


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: PrefixKnn("", growth=0), "PrefixKnn.growth"),
        (lambda: PrefixKnn("", popularity=-1), "PrefixKnn.popularity"),
        (lambda: PrefixKnn("", decay=2), "PrefixKnn.decay"),
    ],
)
def test_bad_settings_are_named(make: object, argument: str) -> None:
    with pytest.raises(ConfigError, match=argument):
        make()  # type: ignore[operator]
