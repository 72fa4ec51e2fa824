"""Semantic ids on disk: whole, of this catalogue, with the features they were made from."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small_catalogue import make_features, make_items, mixture
from torch import Tensor

from genrec import artifacts
from genrec.artifacts import Manifest, load_tensors, payload_path, read_manifest
from genrec.errors import ArtifactError, DataError
from genrec.features.store import save_features
from genrec.tokenizer import store
from genrec.tokenizer.assignment import Assignment
from genrec.tokenizer.base import Tokenizer
from genrec.tokenizer.random_ids import RandomIds
from genrec.tokenizer.rqkmeans import RqKMeans
from genrec.tokenizer.semantic_ids import SemanticIds, catalogue_hash, show
from genrec.tokenizer.store import KIND, load_ids, save_ids

N = 60
ITEMS = make_items(N)


def save(folder: Path, *, seed: int = 0, tokenizer: Tokenizer | None = None) -> Manifest:
    features = make_features(mixture(N, seed=seed))
    tokenizer = tokenizer or RqKMeans(8, 3)
    ids, _ = Assignment()(tokenizer, features, ITEMS)
    return save_ids(
        folder,
        ids,
        features,
        ITEMS,
        weights=tokenizer.weights(),
        config="train.x = 1\n",
        config_hash="c0",
        dataset={"path": "tiny", "hash": "d0"},
        split={"path": "loo", "hash": "s0"},
        rerun="python train_rqvae.py tiny.gin",
    )


def loaded_seed(folder: Path) -> int:
    """Which of the seeds 0 and 1 made the features that are loaded."""
    vectors = torch.from_numpy(load_ids(folder, ITEMS).features.vectors)
    return next(seed for seed in (0, 1) if torch.equal(vectors, mixture(N, seed=seed)))


def test_round_trip(tmp_path: Path) -> None:
    manifest = save(tmp_path)
    stored = load_ids(tmp_path, ITEMS)
    expected, _ = Assignment()(RqKMeans(8, 3), make_features(mixture(N)), ITEMS)
    assert np.array_equal(stored.ids.codes, expected.codes)
    assert stored.ids.codes.dtype == np.int32
    assert stored.ids.sizes == (8, 8, 8)
    assert stored.ids.quality == pytest.approx(expected.quality)
    assert stored.ids.tokenizer == "RqKMeans"
    assert stored.identity == manifest.identity
    assert torch.equal(torch.from_numpy(stored.features.vectors), mixture(N))
    assert stored.features.parts == (("text", 12),)
    books = load_tensors(tmp_path, manifest, "tokenizer.safetensors")
    assert sorted(books) == ["codebooks.0", "codebooks.1", "codebooks.2"]


def test_people_can_read_the_ids(tmp_path: Path) -> None:
    text = payload_path(tmp_path, save(tmp_path), "semantic_ids.csv").read_text()
    frame = pd.read_csv(io.StringIO(text))
    assert list(frame.columns) == ["item_id", "title", "code_0", "code_1", "code_2"]
    assert frame["title"][3] == "Title 3, with comma"
    codes = load_ids(tmp_path, ITEMS).ids.codes
    assert np.array_equal(frame[["code_0", "code_1", "code_2"]].to_numpy(), codes)
    assert show(codes[0]) == f"<{codes[0, 0]}, {codes[0, 1]}, {codes[0, 2]}>"


def test_a_tokenizer_without_weights(tmp_path: Path) -> None:
    manifest = save(tmp_path, tokenizer=RandomIds(8, 3))
    assert load_tensors(tmp_path, manifest, "tokenizer.safetensors") == {}
    assert load_ids(tmp_path, ITEMS).ids.tokenizer == "RandomIds"


def test_a_folder_can_move(tmp_path: Path) -> None:
    save(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    assert loaded_seed(tmp_path / "there") == 0


def test_a_second_build_replaces_the_first(tmp_path: Path) -> None:
    save(tmp_path, seed=0)
    save(tmp_path, seed=1)
    assert loaded_seed(tmp_path) == 1
    assert len(list(tmp_path.glob("features-*"))) == 1
    assert len(list(tmp_path.glob("codes-*"))) == 1


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize("dies_at_write", [1, 2])  # of the features' manifest, of the ids' manifest
def test_killed_at_any_manifest_leaves_the_old_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at_write: int
) -> None:
    save(tmp_path, seed=0)
    real, writes = artifacts.write_json, []

    def die(path: Path, value: object) -> None:
        writes.append(path)
        if len(writes) == dies_at_write:
            raise Killed
        real(path, value)

    with monkeypatch.context() as patched:
        patched.setattr(artifacts, "write_json", die)
        with pytest.raises(Killed):
            save(tmp_path, seed=1)
    assert loaded_seed(tmp_path) == 0
    save(tmp_path, seed=1)
    assert loaded_seed(tmp_path) == 1


def test_killed_before_cleaning_up_leaves_the_new_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, seed=0)

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(store.shutil, "rmtree", die)
        with pytest.raises(Killed):
            save(tmp_path, seed=1)
    assert loaded_seed(tmp_path) == 1


def test_nothing_there_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(
        ArtifactError, match=r"no semantic_ids artifact in .*run `python train_rqvae.py CONFIG`"
    ):
        load_ids(tmp_path, ITEMS)


def test_features_that_were_replaced(tmp_path: Path) -> None:
    save(tmp_path)
    (folder,) = tmp_path.glob("features-*")
    save_features(make_features(mixture(N, seed=1)), folder, config="")
    with pytest.raises(
        ArtifactError, match=r"made from item_features .* run `python train_rqvae.py tiny.gin` again"
    ):
        load_ids(tmp_path, ITEMS)


def test_features_that_are_gone(tmp_path: Path) -> None:
    save(tmp_path)
    (folder,) = tmp_path.glob("features-*")
    (folder / "manifest.json").unlink()
    with pytest.raises(
        ArtifactError, match=r"no item_features artifact .*run `python train_rqvae.py tiny.gin`"
    ):
        load_ids(tmp_path, ITEMS)


def test_another_kind(tmp_path: Path) -> None:
    save_features(make_features(mixture(N)), tmp_path, config="")
    with pytest.raises(ArtifactError, match=r"holds a item_features artifact where semantic_ids is needed"):
        load_ids(tmp_path, ITEMS)


@pytest.mark.parametrize("place", ["codes-*", "features-*/vectors-*", "features-*/present-*"])
def test_one_damaged_byte(tmp_path: Path, place: str) -> None:
    save(tmp_path)
    (path,) = tmp_path.glob(place)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(
        ArtifactError, match=r"was changed or damaged .* run `python train_rqvae.py tiny.gin` again"
    ):
        load_ids(tmp_path, ITEMS)


def test_another_catalogue(tmp_path: Path) -> None:
    save(tmp_path)
    with pytest.raises(ArtifactError, match=r"made for another catalogue than this one of 61 items"):
        load_ids(tmp_path, make_items(N + 1))
    frame = ITEMS.frame.iloc[::-1].reset_index(drop=True)  # the same items in another order
    with pytest.raises(ArtifactError, match=r"made for another catalogue"):
        load_ids(tmp_path, type(ITEMS)(frame))


def test_a_manifest_of_the_kind_without_its_facts(tmp_path: Path) -> None:
    artifacts.save_artifact(tmp_path, kind=KIND, payload={}, config="")
    with pytest.raises(ArtifactError, match=r"made for another catalogue"):
        load_ids(tmp_path, ITEMS)


def test_identity_does_not_depend_on_when_it_was_made(tmp_path: Path) -> None:
    assert (
        save(tmp_path / "a").identity
        == save(tmp_path / "b").identity
        != save(tmp_path / "c", seed=1).identity
    )
    assert read_manifest(tmp_path / "a", KIND).identity == load_ids(tmp_path / "a", ITEMS).identity


def ids_of(codes: list[list[int]], sizes: tuple[int, ...]) -> SemanticIds:
    return SemanticIds(np.array(codes, dtype=np.int32), sizes, "test", catalogue_hash(ITEMS))


@pytest.mark.parametrize(
    ("codes", "sizes", "message"),
    [
        ([[0, 1], [0, 1]], (2, 2), "50.00% of items share a semantic id"),
        ([[0, 2]], (2, 2), "outside their codebooks"),
        ([[0, -1]], (2, 2), "outside their codebooks"),
        ([[0, 1]], (2, 2, 2), "do not fit 3 codebooks"),
    ],
)
def test_ids_that_are_none(codes: list[list[int]], sizes: tuple[int, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        ids_of(codes, sizes)


def test_weights_are_stored_contiguously(tmp_path: Path) -> None:
    class Transposed(RqKMeans):
        def weights(self) -> dict[str, Tensor]:
            return {name: book.T.contiguous().T for name, book in super().weights().items()}

    tokenizer = Transposed(8, 3)
    manifest = save(tmp_path, tokenizer=tokenizer)
    books = load_tensors(tmp_path, manifest, "tokenizer.safetensors")
    assert torch.equal(books["codebooks.1"], tokenizer.codebooks[1])


def test_ids_that_saw_another_split_are_refused(tmp_path: Path) -> None:
    save(tmp_path)
    load_ids(tmp_path, ITEMS, "s0")
    with pytest.raises(
        ArtifactError, match=r"made from split s0.*run `python train_rqvae.py tiny.gin` again"
    ):
        load_ids(tmp_path, ITEMS, "s1")
