"""A stored model is loaded as what it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from trees import window

from genrec.artifacts import input_ref, save_artifact
from genrec.errors import ArtifactError, ConfigError
from genrec.features.base import ItemFeatures
from genrec.generative.search import exact_log_probs
from genrec.generative.store import KIND, MODELS, load_model, model_features, model_name, save_model
from genrec.generative.tiger import Tiger
from genrec.generative.tree import CodeTree
from genrec.tokenizer.semantic_ids import SemanticIds
from genrec.tokenizer.store import StoredIds

N = 7
SMALL = {"embed_dim": 8, "width": 8, "heads": 2, "layers": 1, "feed_width": 8}


@pytest.fixture
def stored(tmp_path: Path) -> StoredIds:
    codes = np.stack(np.unravel_index(np.arange(N), (3, 3)), axis=1).astype(np.int32)
    features = ItemFeatures(np.ones((N, 2), np.float32), np.ones(N, dtype=bool), "text", "made")
    ids = SemanticIds(codes, (3, 3), tokenizer="made", catalogue="c")
    return StoredIds(ids=ids, features=features, folder=tmp_path / "tokenizer", identity="of the ids")


def test_every_model_is_built_with_the_same_arguments_and_known_by_its_name(stored: StoredIds) -> None:
    tree = CodeTree.of(stored.ids.codes, stored.ids.sizes)
    for name, model in MODELS.items():
        built = model(tree, model_features(stored), embed_dim=8, width=8, heads=2, layers=1)
        assert model_name(built) == name == type(built).__name__
        assert built.max_length >= 1


@torch.no_grad()
def test_tiger_is_loaded_as_it_was_saved(tmp_path: Path, stored: StoredIds) -> None:
    tree = CodeTree.of(stored.ids.codes, stored.ids.sizes)
    saved = Tiger(tree, **SMALL, dropout=0.3, max_length=3, gated=True)  # type: ignore[arg-type]
    save_model(
        tmp_path,
        saved,
        stored,
        config="",
        config_hash="h",
        split={"path": "loo", "hash": "s0"},
        metrics={},
        rerun="",
    )
    loaded = load_model(tmp_path, stored)
    assert isinstance(loaded, Tiger)
    assert loaded.settings == saved.settings
    history = window(torch.tensor([[0, 3, 6], [2, -1, -1]]))
    scores = [exact_log_probs(model.eval().scorer(history), tree) for model in (saved, loaded)]
    assert torch.equal(*scores)


def test_a_model_that_could_not_be_loaded_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train.model is Linear; choose one of Timeline, Tiger"):
        model_name(torch.nn.Linear(1, 1))


@pytest.mark.parametrize("facts", [{}, {"model": "Lion"}])
def test_an_unknown_model_is_refused(tmp_path: Path, stored: StoredIds, facts: dict[str, str]) -> None:
    save_artifact(
        tmp_path,
        kind=KIND,
        payload={"model.safetensors": {}, "settings.json": "{}"},
        config="",
        inputs={"semantic_ids": input_ref(stored.folder, stored.identity)},
        facts=facts,
        rerun="python again",
    )
    with pytest.raises(ArtifactError, match="does not fit this version of the code; run `python again`"):
        load_model(tmp_path, stored)
