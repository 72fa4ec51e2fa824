"""An exported model recommends what the model does, in a folder of its own and from a hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_hub import TOKEN, FakeHub, running
from safetensors.torch import load_file
from trees import window

from genrec.errors import ArtifactError, ConfigError, DataError
from genrec.features.base import ItemFeatures
from genrec.generative import hub
from genrec.generative.export import FILES, export, load
from genrec.generative.search import exact_search
from genrec.generative.store import Model, model_features
from genrec.generative.tiger import Tiger
from genrec.generative.timeline import Timeline
from genrec.generative.tree import CodeTree
from genrec.tokenizer.semantic_ids import SemanticIds
from genrec.tokenizer.store import StoredIds

N = 7
NUMBERS = np.arange(N) * 10 + 5
WORDS = np.array([f"B00{i}" for i in range(N)], dtype=object)


@pytest.fixture
def stored(tmp_path: Path) -> StoredIds:
    codes = np.stack(np.unravel_index(np.arange(N), (3, 3)), axis=1).astype(np.int32)
    vectors = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
    features = ItemFeatures(vectors, np.ones(N, bool), "text+image", "made", "", (("text", 3), ("image", 1)))
    return StoredIds(SemanticIds(codes, (3, 3), "Made", "c"), features, tmp_path, "identity")


def timeline(stored: StoredIds, inputs: tuple[str, ...] = ("codes", "ids", "features")) -> Timeline:
    torch.manual_seed(0)
    tree = CodeTree.of(stored.ids.codes, stored.ids.sizes)
    model = Timeline(
        tree, model_features(stored), embed_dim=4, width=8, heads=2, layers=1, max_length=5, inputs=inputs
    )
    for weight in model.parameters():
        torch.nn.init.normal_(weight)
    return model


def tiger(stored: StoredIds) -> Tiger:
    torch.manual_seed(0)
    tree = CodeTree.of(stored.ids.codes, stored.ids.sizes)
    sizes = {"embed_dim": 8, "width": 8, "heads": 2, "layers": 1, "feed_width": 8, "user_buckets": 3}
    return Tiger(tree, **sizes)


def exported(
    folder: Path,
    model: Model,
    stored: StoredIds,
    item_ids: np.ndarray = NUMBERS,  # type: ignore[type-arg]
) -> Path:
    export(folder, model, stored, item_ids, dataset="made", metrics={"valid/generative/ndcg@10": 0.125})
    return folder


@pytest.mark.parametrize("make", [timeline, tiger])
@pytest.mark.parametrize("item_ids", [NUMBERS, WORDS])
def test_it_recommends_what_the_model_does(
    tmp_path: Path,
    stored: StoredIds,
    make: type[Model],
    item_ids: np.ndarray,  # type: ignore[type-arg]
) -> None:
    model = make(stored).eval()  # type: ignore[arg-type, call-arg]
    loaded = load(exported(tmp_path / "export", model, stored, item_ids))
    history = [0, 3, 6]
    found = loaded.recommend([item_ids[i] for i in history], k=N)
    with torch.no_grad():
        items, scores = exact_search(model.scorer(window(torch.tensor([history]))), model.tree, k=N)
    expected = [
        (i, s) for i, s in zip(items[0].tolist(), scores[0].tolist(), strict=True) if i not in history
    ]
    assert [item for item, _ in found] == [item_ids[i] for i, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-5)
    seen = loaded.recommend([item_ids[i] for i in history], k=N, exclude_seen=False)
    assert [item for item, _ in seen] == [item_ids[i] for i in items[0].tolist()]


def test_a_folder_is_whole_without_anything_else(tmp_path: Path, stored: StoredIds) -> None:
    folder = exported(tmp_path / "export", timeline(stored), stored)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert json.loads((folder / "item_ids.json").read_text()) == NUMBERS.tolist()
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: genrec\n")
    assert "| valid/generative/ndcg@10 | 0.1250 |" in card
    assert "from genrec.generative.export import load" in card


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        (("codes",), {"codes"}),
        (("codes", "image"), {"codes", "features/image"}),
        (("codes", "features"), {"codes", "features/image", "features/text"}),
    ],
)
def test_only_features_that_the_model_reads_are_written(
    tmp_path: Path, stored: StoredIds, inputs: tuple[str, ...], names: set[str]
) -> None:
    folder = exported(tmp_path / "export", timeline(stored, inputs), stored)
    assert set(load_file(folder / "items.safetensors")) == names
    assert load(folder).recommend([5], k=2)


def test_histories_may_be_long_empty_or_hold_unknown_items(tmp_path: Path, stored: StoredIds) -> None:
    loaded = load(exported(tmp_path / "export", timeline(stored), stored))
    assert len(loaded.recommend([], k=3)) == 3
    assert loaded.recommend([15, "999", 5]) == loaded.recommend([15, 5])
    assert loaded.recommend(["15"]) == loaded.recommend([15])
    long = [5, 15, 25, 35, 45, 55]  # one more than the model reads
    assert [item for item, _ in loaded.recommend(long)] == [65]
    with pytest.raises(DataError, match=r"none of the 1 items.*5, 15, 25"):
        loaded.recommend([999])
    with pytest.raises(DataError, match="times has 1 values for a history of 2"):
        loaded.recommend([5, 15], times=[1])


def test_times_reach_a_model_that_reads_them(tmp_path: Path, stored: StoredIds) -> None:
    tree = CodeTree.of(stored.ids.codes, stored.ids.sizes)
    torch.manual_seed(0)
    model = Timeline(tree, embed_dim=8, width=8, heads=2, inputs=("codes",), time_intervals=True)
    for weight in model.parameters():
        torch.nn.init.normal_(weight)
    loaded = load(exported(tmp_path / "export", model, stored))
    soon, late = (loaded.recommend([5, 999, 15], times=[0, 1, end]) for end in (1, 10**7))
    assert soon != late


def test_a_model_that_cannot_generate_is_refused(tmp_path: Path, stored: StoredIds) -> None:
    model = Timeline(
        CodeTree.of(stored.ids.codes, (3, 3)), embed_dim=4, width=4, heads=1, code_weight=0.0, inputs=("ids",)
    )
    with pytest.raises(ConfigError, match=r"Timeline\.code_weight > 0"):
        exported(tmp_path / "export", model, stored)


@pytest.mark.parametrize("name", FILES[:-1])
def test_a_missing_or_damaged_file_is_named(tmp_path: Path, stored: StoredIds, name: str) -> None:
    folder = exported(tmp_path / "export", timeline(stored), stored)
    if name.endswith(".safetensors"):
        (folder / name).write_bytes((folder / name).read_bytes()[:-5])
        with pytest.raises(ArtifactError, match="damaged or of another version"):
            load(folder)
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=f"not an exported model: {name} is missing"):
        load(folder)


def test_a_foreign_config_is_refused(tmp_path: Path, stored: StoredIds) -> None:
    folder = exported(tmp_path / "export", timeline(stored), stored)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ArtifactError, match="not exported by this version"):
        load(folder)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with running() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def test_what_is_pushed_can_be_loaded_by_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stored: StoredIds, fake: FakeHub
) -> None:
    folder = exported(tmp_path / "export", timeline(stored), stored)
    (folder / "private.txt").write_text("not part of the export")
    assert hub.push(folder, "ann/films", FILES) == f"{fake.address}/ann/films"
    assert fake.repositories == {"ann/films": {name: (folder / name).read_bytes() for name in FILES}}
    fake.tokens.clear()
    monkeypatch.delenv("HF_TOKEN")
    assert load("ann/films").recommend([5, 15]) == load(folder).recommend([5, 15])
    assert fake.tokens == {None}, "no token of this machine is sent unasked"


def test_what_the_hub_refuses_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stored: StoredIds, fake: FakeHub
) -> None:
    with pytest.raises(ArtifactError, match="ann/nothing is neither a folder here nor a model"):
        load("ann/nothing")
    folder = exported(tmp_path / "export", timeline(stored), stored)
    with pytest.raises(ConfigError, match="'films' is not the name of a repository"):
        hub.push(folder, "films", FILES)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(ConfigError, match=f"cannot push to ann/films at {fake.address}"):
        hub.push(folder, "ann/films", FILES)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ConfigError, match="HF_TOKEN is not set"):
        hub.push(folder, "ann/films", FILES)


def test_a_hub_that_does_not_answer_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stored: StoredIds, fake: FakeHub
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    folder = exported(tmp_path / "export", timeline(stored), stored)
    with pytest.raises(ConfigError, match=r"cannot push to ann/films at http://127\.0\.0\.1:9 \("):
        hub.push(folder, "ann/films", FILES)
    with pytest.raises(ArtifactError, match="ann/films is neither a folder here"):
        load("ann/films")
