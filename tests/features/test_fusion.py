from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from genrec.artifacts import MANIFEST
from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ArtifactError, ConfigError, DataError
from genrec.features.base import ItemFeatures
from genrec.features.fusion import Concat
from genrec.features.metadata import Genres, Year
from genrec.features.poster_file import PosterFile
from genrec.features.store import load_features, save_features


@dataclass
class Given:
    """An encoder whose answer is given."""

    features: ItemFeatures

    def encode(self, items: ItemTable, train: Interactions) -> ItemFeatures:
        return self.features


TEXT = ItemFeatures(np.array([[1, 2], [0, 0]], np.float32), np.array([True, False]), "text", "T", "abc")
IMAGE = ItemFeatures(np.array([[0], [0]], np.float32), np.array([False, False]), "image", "I")


def test_concat_weighs_blocks_and_is_present_where_any_is(items: ItemTable, train: Interactions) -> None:
    features = Concat([Given(TEXT), Given(IMAGE), Given(TEXT)], [1, 1, 0.5]).encode(items, train)
    np.testing.assert_array_equal(features.vectors, [[1, 2, 0, 0.5, 1], [0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(features.present, [True, False])
    assert features.modality == "text+image"
    assert features.parts == (("text", 2), ("image", 1), ("text", 2))
    assert features.weights_hash == "abc+abc"
    assert features.encoder == "Concat(T, I, 0.5 * T)"


def test_concat_of_concat_lists_every_part(items: ItemTable, train: Interactions) -> None:
    inner = Concat(
        [Genres(), Given(ItemFeatures(np.ones((8, 3), np.float32), np.ones(8, bool), "text", "T"))]
    )
    features = Concat([inner, Year()]).encode(items, train)
    assert features.parts == (("metadata", 7), ("text", 3), ("metadata", 2))
    assert features.modality == "metadata+text"


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, float("nan")], [1.0, 2.0, 3.0]])
def test_weights_are_validated(weights: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"Concat\.weights must be 2 positive numbers"):
        Concat([Genres(), Year()], weights)


def test_concat_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Concat\.encoders"):
        Concat([])


def test_posters_are_read_and_gaps_marked(items: ItemTable, train: Interactions, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((8, 5))
    rows[2], rows[4, 1], rows[6, 0] = 0, np.nan, np.inf
    np.save(tmp_path / "posters.npy", rows)
    features = PosterFile(str(tmp_path / "posters.npy")).encode(items, train)
    np.testing.assert_array_equal(features.present, [1, 1, 0, 1, 0, 1, 0, 1])
    np.testing.assert_array_equal(
        features.vectors, np.where(features.present[:, None], rows, 0).astype(np.float32)
    )
    assert features.modality == "image"


def test_posters_of_another_catalogue_are_refused(
    items: ItemTable, train: Interactions, tmp_path: Path
) -> None:
    np.save(tmp_path / "posters.npy", np.ones((7, 5)))
    with pytest.raises(DataError, match="have 7 rows but the catalogue has 8 items"):
        PosterFile(str(tmp_path / "posters.npy")).encode(items, train)


def test_missing_damaged_and_foreign_poster_files_say_what_to_run(
    items: ItemTable, train: Interactions, tmp_path: Path
) -> None:
    path = tmp_path / "posters.npy"

    def message() -> str:
        with pytest.raises(DataError) as caught:
            PosterFile(str(path)).encode(items, train)
        return str(caught.value)

    messages = [message()]
    np.save(path, np.ones((8, 500)))
    path.write_bytes(path.read_bytes()[:-100])
    messages.append(message())
    path.write_bytes(b"")
    messages.append(message())
    np.save(path, np.array([{"a": 1}] * 8), allow_pickle=True)
    messages.append(message())
    np.save(path, np.ones((8, 5), dtype=np.int64))
    messages.append(message())
    np.save(path, np.ones(8))
    messages.append(message())
    assert all("experiments/poster_features.py" in text and str(path) in text for text in messages)
    assert "do not exist" in messages[0]


def test_features_survive_the_disk(tmp_path: Path) -> None:
    features = ItemFeatures(
        TEXT.vectors, TEXT.present, "text+image", "E", "hash", (("text", 1), ("image", 1))
    )
    save_features(features, tmp_path, config="a = 1\n", rerun="make features")
    loaded = load_features(tmp_path)
    np.testing.assert_array_equal(loaded.vectors, features.vectors)
    np.testing.assert_array_equal(loaded.present, features.present)
    assert (loaded.modality, loaded.encoder, loaded.weights_hash) == ("text+image", "E", "hash")
    assert loaded.parts == features.parts


def test_missing_and_damaged_features_say_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no item_features artifact .* run `make features` first"):
        load_features(tmp_path, rerun="make features")
    save_features(TEXT, tmp_path, config="", rerun="make features")
    payload = next(path for path in tmp_path.glob("vectors*.npy"))
    payload.write_bytes(payload.read_bytes()[:-4])
    with pytest.raises(ArtifactError, match=r"damaged .* run `make features` again"):
        load_features(tmp_path)
    assert (tmp_path / MANIFEST).exists()


def test_nan_features_are_refused() -> None:
    with pytest.raises(DataError, match="hold NaN or infinity for 1 of 2 items"):
        ItemFeatures(np.array([[0.0], [np.nan]], np.float32), np.ones(2, bool), "text", "E")
