from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trees import window

from genrec.artifacts import MANIFEST, input_ref, save_artifact
from genrec.errors import ArtifactError
from genrec.features.base import ItemFeatures
from genrec.generative.search import exact_search
from genrec.generative.store import KIND, feature_scale, load_model, model_features, save_model
from genrec.generative.timeline import Timeline
from genrec.generative.tree import CodeTree
from genrec.tokenizer.semantic_ids import SemanticIds
from genrec.tokenizer.store import StoredIds

N = 7


@pytest.fixture
def stored(tmp_path: Path) -> StoredIds:
    codes = np.stack(np.unravel_index(np.arange(N), (3, 3)), axis=1).astype(np.int32)
    vectors = np.random.default_rng(0).normal(3.0, 2.0, size=(N, 4)).astype(np.float32)
    present = np.arange(N) != 2
    vectors[~present] = 0.0
    return StoredIds(
        ids=SemanticIds(codes, (3, 3), tokenizer="made", catalogue="c"),
        features=ItemFeatures(vectors, present, "text", "made"),
        folder=tmp_path / "tokenizer",
        identity="identity of the ids",
    )


def extended(stored: StoredIds) -> StoredIds:
    """One more item, far from the others, that takes the last free id."""
    last = np.array([[2, 2]], np.int32)
    features = stored.features
    more = ItemFeatures(
        np.concatenate([features.vectors, np.full((1, 4), 1000.0, np.float32)]),
        np.append(features.present, True),
        features.modality,
        features.encoder,
    )
    ids = replace(stored.ids, codes=np.concatenate([stored.ids.codes, last]))
    return replace(stored, ids=ids, features=more, identity="more", lineage=(stored.identity,))


def model_of(stored: StoredIds, **settings: Any) -> Timeline:
    torch.manual_seed(0)
    tree = CodeTree.of(stored.ids.codes, stored.ids.sizes)
    return Timeline(
        tree,
        model_features(stored),
        embed_dim=4,
        width=8,
        heads=2,
        layers=1,
        max_length=5,
        label_smoothing=0.1,
        **settings,
    )


def save(folder: Path, stored: StoredIds, part: str = "valid", **settings: Any) -> Timeline:
    model = model_of(stored, **settings)
    save_model(
        folder,
        model,
        stored,
        config="a = 1\n",
        config_hash="h",
        split={"path": "loo", "hash": "s0"},
        metrics={"valid/x": 0.5},
        rerun="python again",
        part=part,
    )
    return model


def test_what_was_saved_is_what_is_loaded(tmp_path: Path, stored: StoredIds) -> None:
    saved = save(tmp_path, stored)
    loaded = load_model(tmp_path, stored)
    assert loaded.settings == saved.settings
    assert not loaded.training
    histories = window(torch.tensor([[0, 3, 6], [2, -1, -1]]))
    assert torch.equal(loaded.last_state(histories), saved.eval().last_state(histories))
    assert torch.equal(loaded.item_vectors(), saved.item_vectors())
    assert json.loads((tmp_path / MANIFEST).read_text())["metrics"] == {"valid/x": 0.5}


def test_other_semantic_ids_are_refused(tmp_path: Path, stored: StoredIds) -> None:
    save(tmp_path, stored)
    with pytest.raises(ArtifactError, match=r"made from semantic_ids identity.*run `python again` again"):
        load_model(tmp_path, replace(stored, identity="others"))


def test_a_model_without_parameters_per_item_speaks_of_new_items(tmp_path: Path, stored: StoredIds) -> None:
    by_content = {"inputs": ("codes", "features"), "node_keys": False, "dense_weight": 0.0}
    saved = save(tmp_path, stored, **by_content).eval()
    more = extended(stored)
    loaded = load_model(tmp_path, more)
    old = torch.arange(N)
    torch.testing.assert_close(loaded.items(old), saved.items(old))  # in the scale of training
    ids, _ = exact_search(loaded.scorer(window(torch.tensor([[0, 3]]))), loaded.tree, k=N + 1)
    assert N in ids[0].tolist()


def test_a_model_with_parameters_per_item_must_learn_new_items(tmp_path: Path, stored: StoredIds) -> None:
    save(tmp_path, stored)
    with pytest.raises(
        ArtifactError, match=r"parameter per item or node .*items.ids.weight.*run `python again`"
    ):
        load_model(tmp_path, extended(stored))


def test_a_model_that_learned_from_another_split_is_refused(tmp_path: Path, stored: StoredIds) -> None:
    save(tmp_path, stored)
    load_model(tmp_path, stored, "s0")
    with pytest.raises(ArtifactError, match=r"made from split s0.*run `python again` again"):
        load_model(tmp_path, stored, "s1")


def test_a_model_that_learned_from_validation_is_not_judged_with_it(
    tmp_path: Path, stored: StoredIds
) -> None:
    save(tmp_path, stored, part="test")
    with pytest.raises(ArtifactError, match=r"train.part = 'test', where one with 'valid' is needed"):
        load_model(tmp_path, stored, "s0")
    load_model(tmp_path, stored, "s0", part="test")
    load_model(tmp_path, stored)


def test_damaged_weights_are_refused(tmp_path: Path, stored: StoredIds) -> None:
    save(tmp_path, stored)
    weights = next(tmp_path.glob("model-*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ArtifactError, match="changed or damaged"):
        load_model(tmp_path, stored)


def test_a_missing_or_foreign_artifact_is_refused(tmp_path: Path, stored: StoredIds) -> None:
    with pytest.raises(ArtifactError, match=r"no generative_model artifact .* run `python train_decoder.py"):
        load_model(tmp_path, stored)
    save_artifact(tmp_path, kind="semantic_ids", payload={}, config="")
    with pytest.raises(ArtifactError, match="holds a semantic_ids artifact"):
        load_model(tmp_path, stored)


@pytest.mark.parametrize("settings", [{"no_such_setting": 1}, {"width": 16}, {}])
def test_a_model_of_another_version_is_refused(
    tmp_path: Path, stored: StoredIds, settings: dict[str, int]
) -> None:
    model = model_of(stored)
    save_artifact(
        tmp_path,
        kind=KIND,
        payload={
            "model.safetensors": model.state_dict(),
            "features.safetensors": feature_scale(stored),
            "settings.json": json.dumps(settings),
        },
        config="",
        inputs={"semantic_ids": input_ref(stored.folder, stored.identity)},
        facts={"model": "Timeline"},
        rerun="python again",
    )
    with pytest.raises(ArtifactError, match="does not fit this version of the code; run `python again`"):
        load_model(tmp_path, stored)


def test_features_are_standardised_over_the_items_that_have_them(stored: StoredIds) -> None:
    found = torch.cat(list(model_features(stored).values()), dim=1)
    there = torch.from_numpy(stored.features.present)
    torch.testing.assert_close(found[there].mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[there].std(0, correction=0), torch.ones(4))
    assert (found[~there] == 0).all()


def test_features_that_never_vary_or_are_nowhere_are_zero(stored: StoredIds) -> None:
    constant = replace(stored.features, vectors=np.full((N, 4), 5.0, np.float32), present=np.ones(N, bool))
    assert (model_features(replace(stored, features=constant))["text"] == 0).all()
    nowhere = replace(stored.features, vectors=np.zeros((N, 4), np.float32), present=np.zeros(N, bool))
    assert (model_features(replace(stored, features=nowhere))["text"] == 0).all()
