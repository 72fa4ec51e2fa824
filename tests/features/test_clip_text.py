from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError, DataError
from genrec.features import clip_text
from genrec.features.clip_text import ClipText

TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A small network that open_clip knows from now on, and the file of its weights."""
    folder = tmp_path_factory.mktemp("clip")
    (folder / "small-clip.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder / "small-clip.json")
    torch.manual_seed(3)
    torch.save(open_clip.create_model("small-clip").state_dict(), folder / "weights.pt")
    return "small-clip", str(folder / "weights.pt")


def test_titles_and_texts_become_unit_vectors(
    items: ItemTable, train: Interactions, clip: tuple[str, str]
) -> None:
    features = ClipText(*clip, batch_size=3).encode(items, train)
    np.testing.assert_array_equal(features.present, [1, 1, 1, 1, 1, 0, 1, 1])
    lengths = np.linalg.norm(features.vectors, axis=1)
    np.testing.assert_allclose(lengths, features.present, atol=1e-5)
    assert (features.modality, features.width) == ("text", 24)
    model, weights = clip
    whole = open_clip.create_model(model)
    whole.load_state_dict(torch.load(weights, weights_only=True))
    with torch.inference_mode():
        text = open_clip.get_tokenizer(model)(["Toy Story. A cowboy doll meets a space ranger."])
        expected = whole.eval().encode_text(text, normalize=True)[0]
    np.testing.assert_allclose(features.vectors[0], expected, atol=1e-5)
    alone = ClipText(*clip, fields=["title"]).encode(items, train)
    assert not np.allclose(alone.vectors[0], features.vectors[0])
    np.testing.assert_allclose(alone.vectors[1], features.vectors[1], atol=1e-5)


def test_vectors_are_kept_by_texts_and_weights(
    items: ItemTable,
    train: Interactions,
    clip: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cached = ClipText(*clip, cache=str(tmp_path))
    first = cached.encode(items, train)

    def recompute(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(clip_text, "embed_texts", recompute)
    np.testing.assert_array_equal(cached.encode(items, train).vectors, first.vectors)
    with pytest.raises(AssertionError, match="computed again"):
        ClipText(*clip, fields=["title"], cache=str(tmp_path)).encode(items, train)


def test_arguments_are_checked(items: ItemTable, train: Interactions) -> None:
    with pytest.raises(ConfigError, match=r"ClipText\.batch_size must be at least 1"):
        ClipText(batch_size=0)
    with pytest.raises(ConfigError, match=r"ClipText\.fields must be some of"):
        ClipText(fields=["plot"])
    nothing = ItemTable(items.frame.assign(text=""))
    with pytest.raises(DataError, match=r"columns \['text'\] hold no text for ClipText"):
        ClipText(fields=["text"]).encode(nothing, train)
