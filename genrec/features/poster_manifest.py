"""What a file of poster features says of itself, in a JSON file of the same name beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from genrec.artifacts import write_json
from genrec.data.tables import ItemTable
from genrec.errors import DataError

SCHEMA = 1
MAKER = "experiments/poster_features.py"


@dataclass(frozen=True)
class PosterManifest:
    """The description of a file of poster features.

    Attributes:
        encoder: name of the network and of its weights.
        weights_hash: sha256 over the weights.
        preparation: how pictures were resized, cropped and normalised.
        dataset: its name.
        dataset_hash: hash of the dataset's content.
        items_hash: hash of the item ids in their order.
        made_from: hash of the network, its pre-processing, and the posters' names, sizes and times.
        features: sha256 of the `.npy` file.
        width: columns.
        counts: `items`, `encoded`, `missing` (no file) and `failed` (a file that cannot be read).
        failures: name of the list of items without features.
        present: `1` for an item with features and `0` for one without, in the order of the items.
    """

    encoder: str
    weights_hash: str
    preparation: str
    dataset: str
    dataset_hash: str
    items_hash: str
    made_from: str
    features: str
    width: int
    counts: Mapping[str, int]
    failures: str
    present: str
    schema: int = SCHEMA

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Present mask [N]."""
        return np.asarray(np.frombuffer(self.present.encode(), dtype=np.uint8) == ord("1"))

    def write(self, features: Path) -> None:
        """Write it beside a file of features."""
        write_json(manifest_path(features), asdict(self))


def manifest_path(features: Path) -> Path:
    """Where the description of a file of features is."""
    return features.with_suffix(".json")


def mask_text(present: NDArray[np.bool_]) -> str:
    """A mask [N] as `PosterManifest.present`."""
    return np.where(present, b"1", b"0").tobytes().decode()


def items_hash(items: ItemTable) -> str:
    """sha256 of the item ids in their order, hex."""
    return hashlib.sha256("\n".join(map(str, items.ids.tolist())).encode()).hexdigest()


def read_poster_manifest(features: Path) -> PosterManifest | None:
    """The description of a file of features, or None if it has none.

    Raises:
        DataError: it is damaged, or of another version.
    """
    path = manifest_path(features)
    if not path.is_file():
        return None
    try:
        manifest = TypeAdapter(PosterManifest).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        raise DataError(
            f"{path} does not describe poster features ({where}: {first['msg']}); run {MAKER} again, or remove it to "
            "take rows of zeros for missing posters"
        ) from error
    if manifest.schema != SCHEMA:
        raise DataError(f"{path} has schema {manifest.schema}, this code reads {SCHEMA}; run {MAKER} again")
    return manifest
