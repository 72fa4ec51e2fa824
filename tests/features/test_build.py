from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.build import build_features
from genrec.features.metadata import Metadata


def test_posters_stand_beside_the_encoder(items: ItemTable, train: Interactions, tmp_path: Path) -> None:
    path = tmp_path / "posters.npy"
    np.save(path, np.ones((8, 3), np.float32))
    assert build_features(Metadata(), items, train).parts == (("metadata", 7), ("metadata", 2))
    features = build_features(Metadata(), items, train, str(path), expected_width=12)
    assert features.parts == (("metadata", 7), ("metadata", 2), ("image", 3))


def test_a_wrong_width_says_what_each_part_contributes(items: ItemTable, train: Interactions) -> None:
    with pytest.raises(
        ConfigError, match=r"vae_input_dim is 20 but .* 9 columns \(7 metadata \+ 2 metadata\)"
    ):
        build_features(Metadata(), items, train, expected_width=20)
