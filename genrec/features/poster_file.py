"""Poster features that another program has computed, read from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genrec.artifacts import file_hash
from genrec.data.tables import Interactions, ItemTable
from genrec.errors import DataError
from genrec.features.base import ItemFeatures


class PosterFile:
    """Vectors of posters from a `.npy` file, one row per item of the item table, in its order.

    A row of zeros, or one with NaN or infinity, marks an item without a poster.

    Args:
        path: the file, a float array [N, D].
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def encode(self, items: ItemTable, train: Interactions) -> ItemFeatures:
        """Features [N, D].

        Raises:
            DataError: the file is missing, damaged, or does not fit the item table.
        """
        vectors = self._read()
        if len(vectors) != len(items):
            raise DataError(
                f"poster features {self.path} have {len(vectors)} rows but the catalogue has {len(items)} "
                "items; run experiments/poster_features.py on the same dataset again"
            )
        present: NDArray[np.bool_] = np.isfinite(vectors).all(axis=1) & np.any(vectors, axis=1)
        vectors[~present] = 0.0
        return ItemFeatures(vectors, present, "image", f"PosterFile({self.path.name})", file_hash(self.path))

    def _read(self) -> NDArray[np.float32]:
        if not self.path.is_file():
            raise DataError(
                f"poster features {self.path} do not exist; run experiments/poster_features.py to make them"
            )
        try:
            vectors = np.load(self.path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise DataError(
                f"poster features {self.path} are not a whole .npy file ({error}); "
                "run experiments/poster_features.py again"
            ) from error
        if vectors.ndim != 2 or not np.issubdtype(vectors.dtype, np.floating):
            raise DataError(
                f"poster features {self.path} hold {vectors.dtype} {vectors.shape}, expected floats [N, D]; "
                "run experiments/poster_features.py again"
            )
        return np.array(vectors, dtype=np.float32)
