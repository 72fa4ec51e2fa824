"""Poster features, read from a file that experiments/poster_features.py or another program has made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genrec.artifacts import file_hash
from genrec.data.tables import Interactions, ItemTable
from genrec.errors import DataError
from genrec.features.base import ItemFeatures
from genrec.features.poster_manifest import (
    MAKER,
    PosterManifest,
    items_hash,
    manifest_path,
    read_poster_manifest,
)


class PosterFile:
    """Vectors of posters from a `.npy` file, one row per item of the item table, in its order.

    Which items have a poster is said by the manifest beside the file, which must be of this file and of this item
    table. Without a manifest, a row of zeros, or one with NaN or infinity, marks an item without a poster.

    Args:
        path: the file, a float array [N, D].
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def encode(self, items: ItemTable, train: Interactions) -> ItemFeatures:
        """Features [N, D].

        Raises:
            DataError: the file is missing, damaged, or does not fit the item table or its manifest.
        """
        vectors = self._read()
        if len(vectors) != len(items):
            raise DataError(
                f"poster features {self.path} have {len(vectors)} rows but the catalogue has {len(items)} "
                f"items; run {MAKER} on the same dataset again"
            )
        manifest = read_poster_manifest(self.path)
        name, weights_hash = self.path.name, file_hash(self.path)
        if manifest is None:
            present: NDArray[np.bool_] = np.isfinite(vectors).all(axis=1) & np.any(vectors, axis=1)
        else:
            self._check(manifest, vectors, items, weights_hash)
            present = manifest.mask
            name, weights_hash = f"{name}: {manifest.encoder}", manifest.weights_hash
        vectors[~present] = 0.0
        return ItemFeatures(vectors, present, "image", f"PosterFile({name})", weights_hash)

    def _check(
        self, manifest: PosterManifest, vectors: NDArray[np.float32], items: ItemTable, content: str
    ) -> None:
        """Raise unless the manifest is of this file and of this catalogue."""
        if manifest.features != content or len(manifest.mask) != len(vectors):
            raise DataError(
                f"poster features {self.path} are not those that {manifest_path(self.path)} describes: the file was "
                f"changed or damaged; run {MAKER} again, or remove that manifest if the features are your own"
            )
        if manifest.items_hash != items_hash(items):
            raise DataError(
                f"poster features {self.path} were made for another catalogue ({manifest.dataset}: other item ids); "
                f"run {MAKER} on this dataset"
            )

    def _read(self) -> NDArray[np.float32]:
        if not self.path.is_file():
            raise DataError(f"poster features {self.path} do not exist; run {MAKER} to make them")
        try:
            vectors = np.load(self.path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise DataError(
                f"poster features {self.path} are not a whole .npy file ({error}); run {MAKER} again"
            ) from error
        if vectors.ndim != 2 or not np.issubdtype(vectors.dtype, np.floating):
            raise DataError(
                f"poster features {self.path} hold {vectors.dtype} {vectors.shape}, expected floats [N, D]; "
                f"run {MAKER} again"
            )
        return np.array(vectors, dtype=np.float32)
