"""Generative recall from folders: the same lists as the model itself, and no model that has seen the answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from battery import assert_same, catalogue, checkerboard

from genrec.artifacts import input_ref
from genrec.data.splits import LeaveOneOut, Part
from genrec.data.tables import Dataset, Interactions, ItemTable, UserTable
from genrec.errors import ArtifactError, ConfigError, GenrecError
from genrec.features.base import ItemFeatures
from genrec.generative.store import load_model, model_features, save_model
from genrec.generative.timeline import Timeline
from genrec.generative.tree import CodeTree
from genrec.recall.generative import EmbeddingRecaller, GenerativeRecaller
from genrec.recall.merged import Merged
from genrec.recall.popularity import Popularity
from genrec.recall.store import Origin, load_recaller, save_recaller
from genrec.recall.trained import Trained, judged_with
from genrec.tokenizer.semantic_ids import SemanticIds, catalogue_hash
from genrec.tokenizer.store import StoredIds, load_ids, save_ids

EVENTS = checkerboard()
ITEMS = catalogue(EVENTS.n_items)
DATA = Dataset("board", EVENTS, ITEMS, UserTable(pd.DataFrame({"user_id": range(EVENTS.n_users)})), "c" * 64)
SPLIT = LeaveOneOut()(EVENTS)
EVERYONE = np.arange(EVENTS.n_users, dtype=np.int32)
OTHER = replace(SPLIT, hash="0" * 64)
NAMED = ItemTable(ITEMS.frame.assign(item_id=[f"item {item}" for item in range(EVENTS.n_items)]))


def write_ids(
    folder: Path, items: ItemTable = ITEMS, split_hash: str = SPLIT.hash, shift: int = 0
) -> StoredIds:
    number = (np.arange(len(items)) + shift) % len(items)
    codes = np.stack([number % 2, number // 2], axis=1).astype(np.int32)
    vectors = np.ones((len(items), 2), np.float32)
    save_ids(
        folder,
        SemanticIds(codes, (2, 10), "made", catalogue_hash(items)),
        ItemFeatures(vectors, np.ones(len(items), bool), "text", "made"),
        items,
        weights={"none": torch.zeros(1)},
        config="",
        config_hash="",
        dataset=input_ref("board", DATA.content_hash),
        split=input_ref("loo", split_hash),
        rerun="python make_ids.py",
    )
    return load_ids(folder, items)


def write_model(folder: Path, ids: StoredIds, part: str = "valid", seed: int = 0, **settings: Any) -> None:
    torch.manual_seed(seed)
    sizes = {"embed_dim": 8, "width": 8, "heads": 2, "layers": 1, "max_length": 5}
    model = Timeline(CodeTree.of(ids.ids.codes, ids.ids.sizes), model_features(ids), **sizes, **settings)
    split = input_ref("loo", SPLIT.hash)
    save_model(
        folder,
        model,
        ids,
        config="",
        config_hash="",
        split=split,
        metrics={},
        rerun="python make.py",
        part=part,
    )


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ids, and a model that has learned from the training part."""
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "decoder", write_ids(tmp_path / "ids"))
    return tmp_path


def trained(
    how: str = "generative", part: Part = "valid", decoder: str = "decoder", width: int = 10
) -> Trained:
    recaller = Trained("ids", decoder, how=how, width=width)
    judged_with(recaller, SPLIT, part)
    return recaller


@pytest.mark.parametrize("part", ["valid", "test"])
@pytest.mark.parametrize("how", ["generative", "embedding"])
def test_it_recommends_what_the_model_does(world: Path, how: str, part: Part) -> None:
    model: Any = load_model(world / "decoder", load_ids(world / "ids", ITEMS))
    plain = {"generative": GenerativeRecaller(model, width=10), "embedding": EmbeddingRecaller(model)}[how]
    train = SPLIT.before(part)
    plain.fit(train, ITEMS, None)
    recaller = trained(how, part)
    assert recaller.fit(train, ITEMS, None) is recaller
    for exclude_seen in (True, False):
        assert_same(
            recaller.recommend(EVERYONE, 7, exclude_seen=exclude_seen),
            plain.recommend(EVERYONE, 7, exclude_seen=exclude_seen),
        )


def test_a_model_for_the_test_part_may_be_judged_there_alone(world: Path) -> None:
    write_model(world / "refit", load_ids(world / "ids", ITEMS), part="test")
    trained(part="test", decoder="refit").fit(SPLIT.before("test"), ITEMS)
    with pytest.raises(ArtifactError, match=r"trained with train\.part = 'test'"):
        trained(part="valid", decoder="refit").fit(SPLIT.train, ITEMS)


def test_nothing_is_loaded_before_it_is_known_what_it_is_judged_by(world: Path) -> None:
    with pytest.raises(ConfigError, match="judged_with"):
        Trained("ids", "decoder").fit(SPLIT.train, ITEMS)


def test_a_model_inside_another_recaller_is_told_as_well(world: Path) -> None:
    merged = Merged({"popular": Popularity(), "inner": Merged({"model": Trained("ids", "decoder")})})
    judged_with(merged, SPLIT, "valid")
    merged.fit(SPLIT.train, ITEMS)
    with pytest.raises(ArtifactError, match="made from split"):
        judged_with(merged, OTHER, "valid")


def other_ids(world: Path) -> None:
    write_ids(world / "ids", NAMED)


def newer_ids(world: Path) -> None:
    """Other codes for the same items; the decoder stays."""
    write_ids(world / "ids", shift=1)


@pytest.mark.parametrize(
    ("change", "make", "words"),
    [
        (
            None,
            lambda: Trained("gone", "decoder"),
            r"no semantic_ids artifact in gone; run `python train_rqvae\.py",
        ),
        (
            None,
            lambda: Trained("ids", "gone"),
            r"no generative_model artifact in gone; run `python train_decoder",
        ),
        (other_ids, lambda: Trained("ids", "decoder"), "another catalogue"),
        (newer_ids, lambda: Trained("ids", "decoder"), "made from semantic_ids"),
    ],
)
def test_what_does_not_fit_is_refused(
    world: Path, change: Callable[[Path], None] | None, make: Callable[[], Trained], words: str
) -> None:
    if change is not None:
        change(world)
    with pytest.raises(ArtifactError, match=words):
        fit(make(), SPLIT.train)


def fit(recaller: Trained, train: Interactions) -> Trained:
    judged_with(recaller, SPLIT, "valid")
    return recaller.fit(train, ITEMS)


def test_ids_of_another_split_are_refused(world: Path) -> None:
    write_ids(world / "ids", split_hash=OTHER.hash)
    with pytest.raises(ArtifactError, match="made from split 00000000"):
        fit(Trained("ids", "decoder"), SPLIT.train)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Trained("ids", "decoder", how="magic"),
            r"Trained\.how must be one of generative, embedding",
        ),
        (lambda: Trained("ids", "decoder", width=0), r"Trained\.width must be at least 1"),
        (lambda: fit(Trained("ids", "headless", how="embedding"), SPLIT.train), "without a dense head"),
    ],
)
def test_bad_settings_are_named(world: Path, make: Callable[[], Trained], words: str) -> None:
    write_model(world / "headless", load_ids(world / "ids", ITEMS), dense_weight=0.0)
    with pytest.raises(GenrecError, match=words):
        make()


@pytest.mark.parametrize("items", [ITEMS, NAMED], ids=["numbers", "names"])
def test_stored_it_is_a_reference_and_notices_another_model(world: Path, items: ItemTable) -> None:
    ids = write_ids(world / "ids", items)
    write_model(world / "decoder", ids)
    fitted = trained().fit(SPLIT.train, items)
    manifest = save_recaller(
        world / "stored", fitted, Origin.of(DATA, SPLIT, "valid"), rerun="python again.py"
    )
    assert not [name for name in manifest.files if name.endswith(".safetensors")], (
        "the weights stay where they are"
    )
    assert manifest.inputs["semantic_ids"]["path"] == "ids"
    loaded = load_recaller(world / "stored", SPLIT.train)
    assert isinstance(loaded, Trained)
    assert_same(loaded.recommend(EVERYONE, 7), fitted.recommend(EVERYONE, 7))
    write_model(world / "decoder", ids, seed=1)
    with pytest.raises(ArtifactError, match=r"made from generative_model .* run `python again\.py` again"):
        load_recaller(world / "stored")
