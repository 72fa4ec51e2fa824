"""New items beside those of a stored tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small_catalogue import make_features, make_items, mixture

from genrec.artifacts import read_manifest
from genrec.data.tables import ItemTable
from genrec.errors import ArtifactError, ConfigError, DataError
from genrec.tokenizer.assignment import Assignment
from genrec.tokenizer.base import Tokenizer
from genrec.tokenizer.collisions import DeduplicationCode
from genrec.tokenizer.extension import Extension
from genrec.tokenizer.hierarchical import HierarchicalKMeans
from genrec.tokenizer.product import ProductQuantiser
from genrec.tokenizer.random_ids import RandomIds
from genrec.tokenizer.rqkmeans import RqKMeans
from genrec.tokenizer.store import KIND, load_earlier, load_ids, save_ids

N, MORE = 60, 85
VECTORS = mixture(MORE)
MAKE: list[Callable[[], Tokenizer]] = [
    lambda: RqKMeans(8, 3),
    lambda: ProductQuantiser(8, 4),
    lambda: HierarchicalKMeans(8, 3),
    lambda: RandomIds(8, 3),
]


def save(
    folder: Path, tokenizer: Tokenizer, assignment: Assignment, items: ItemTable, vectors: torch.Tensor
) -> None:
    features = assignment.described(make_features(vectors), items)
    ids, _ = assignment(tokenizer, features, items)
    save_ids(
        folder,
        ids,
        features,
        items,
        weights=tokenizer.weights(),
        config="",
        config_hash="",
        dataset={"path": "tiny", "hash": "d0"},
        split={"path": "loo", "hash": "s0"},
        rerun="python train_rqvae.py tiny.gin",
        extends=assignment.earlier,
    )


@pytest.fixture
def first(tmp_path: Path) -> Path:
    save(tmp_path / "first", RqKMeans(8, 3), Assignment(), make_items(N), VECTORS[:N])
    return tmp_path / "first"


@pytest.mark.parametrize("make", MAKE)
def test_old_ids_are_a_prefix_of_the_new_ones(tmp_path: Path, make: Callable[[], Tokenizer]) -> None:
    save(tmp_path / "first", make(), Assignment(), make_items(N), VECTORS[:N])
    save(tmp_path / "second", make(), Extension(folder=str(tmp_path / "first")), make_items(MORE), VECTORS)
    old, new = load_ids(tmp_path / "first", make_items(N)), load_ids(tmp_path / "second", make_items(MORE))
    assert np.array_equal(new.ids.codes[:N], old.ids.codes)
    assert len(np.unique(new.ids.codes, axis=0)) == MORE
    assert (new.ids.sizes, new.ids.tokenizer) == (old.ids.sizes, old.ids.tokenizer)
    assert np.array_equal(new.features.vectors, VECTORS.numpy())
    assert old.lineage == ()
    assert new.lineage == (old.identity,)
    assert read_manifest(tmp_path / "second", KIND).inputs["extends"] == {
        "path": str(tmp_path / "first"),
        "hash": old.identity,
    }


def test_an_extension_can_be_extended(tmp_path: Path, first: Path) -> None:
    for name, before, n in (("second", first, 70), ("third", tmp_path / "second", MORE)):
        save(tmp_path / name, RqKMeans(8, 3), Extension(folder=str(before)), make_items(n), VECTORS[:n])
    stored = [load_earlier(tmp_path / name) for name in ("first", "second", "third")]
    assert stored[2].lineage == (stored[0].identity, stored[1].identity)
    assert np.array_equal(stored[2].ids.codes[:70], stored[1].ids.codes)
    assert stored[2].item_ids == tuple(map(str, make_items(MORE).ids))
    books = [stored[i].weights["codebooks.2"] for i in (0, 2)]
    assert torch.equal(*books)


def test_new_items_may_stand_between_old_ones(tmp_path: Path, first: Path) -> None:
    frame = make_items(MORE).frame
    order = np.random.default_rng(0).permutation(MORE)
    items = ItemTable(frame.iloc[order].reset_index(drop=True))
    save(tmp_path / "second", RqKMeans(8, 3), Extension(folder=str(first)), items, VECTORS[order])
    old, new = load_ids(first, make_items(N)), load_ids(tmp_path / "second", items)
    place = np.argsort(order)[:N]
    assert np.array_equal(new.ids.codes[place], old.ids.codes)
    assert np.array_equal(new.features.vectors[place], old.features.vectors)


def test_free_new_items_get_the_codes_that_the_stored_weights_give(tmp_path: Path, first: Path) -> None:
    known = load_earlier(first)
    tokenizer = RqKMeans(8, 3)
    tokenizer.load(known.weights)
    raw = tokenizer.space(VECTORS[N:]).nearest()
    save(tmp_path / "second", RqKMeans(8, 3, seed=9), Extension(folder=str(first)), make_items(MORE), VECTORS)
    codes = load_ids(tmp_path / "second", make_items(MORE)).ids.codes[N:]
    free = ~(raw[:, None] == known.ids.codes[None]).all(2).any(1)
    assert 0 < free.sum() < MORE - N
    assert (codes == raw)[free].all(1).mean() > 0.5
    assert (codes[:, :2] == raw[:, :2]).all(), "others move within their prefix"


def test_the_de_duplication_code_goes_on(tmp_path: Path) -> None:
    vectors = VECTORS.clone()
    vectors[1:3] = vectors[0]  # a group of three, and one more of it to come
    vectors[N] = vectors[5]
    save(tmp_path / "first", RqKMeans(8, 2), Assignment(DeduplicationCode()), make_items(N), vectors[:N])
    extension = Extension(DeduplicationCode(), folder=str(tmp_path / "first"))
    save(tmp_path / "second", RqKMeans(8, 2), extension, make_items(N + 1), vectors[: N + 1])
    old, new = load_ids(tmp_path / "first", make_items(N)), load_ids(tmp_path / "second", make_items(N + 1))
    assert new.ids.sizes == old.ids.sizes
    assert np.array_equal(new.ids.codes[:N], old.ids.codes)
    assert new.ids.codes[N, :2].tolist() == old.ids.codes[5, :2].tolist()
    with pytest.raises(
        ConfigError, match=r"ids of 3 codes cannot take in items of 2 codes; bind the collision rule"
    ):
        Extension(folder=str(tmp_path / "first"))(
            RqKMeans(8, 2), make_features(vectors[: N + 1]), make_items(N + 1)
        )


def test_descriptions_that_cannot_be_reconciled(first: Path) -> None:
    other = mixture(MORE, seed=8)
    with pytest.raises(DataError, match=r"explain \d+% of the stored ones .* lower Extension.min_fit"):
        Extension(folder=str(first)).described(make_features(other), make_items(MORE))
    Extension(folder=str(first), min_fit=0.0).described(make_features(other), make_items(MORE))


def test_an_old_item_that_is_gone(first: Path) -> None:
    items = ItemTable(make_items(MORE).frame.iloc[2:].reset_index(drop=True))
    with pytest.raises(
        DataError, match=r"2 of 60 items .*first: 10\) are not in this catalogue; keep old items"
    ):
        Extension(folder=str(first)).described(make_features(VECTORS[2:]), items)


def test_no_new_item(first: Path) -> None:
    with pytest.raises(DataError, match=r"all 60 items of this catalogue have an id .* add the new items"):
        Extension(folder=str(first)).described(make_features(VECTORS[:N]), make_items(N))


def test_another_tokenizer(first: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"made by RqKMeans, but train.tokenizer is RandomIds; run with .*config.gin"
    ):
        Extension(folder=str(first))(RandomIds(8, 3), make_features(VECTORS), make_items(MORE))
    with pytest.raises(ArtifactError, match="codebook size and the number of levels that it was made with"):
        Extension(folder=str(first))(RqKMeans(9, 3), make_features(VECTORS), make_items(MORE))


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_the_fit_is_a_share(value: float) -> None:
    with pytest.raises(ConfigError, match=rf"Extension\.min_fit must be in \[0, 1\], got {value}"):
        Extension(folder="x", min_fit=value)


def test_nothing_in_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no semantic_ids artifact"):
        Extension(folder=str(tmp_path)).described(make_features(VECTORS), make_items(MORE))
