"""Item features: one float vector per item, and whether the item really has it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import DataError


@dataclass(frozen=True)
class ItemFeatures:
    """Vectors of the whole catalogue.

    Attributes:
        vectors: float32 [N, D], finite; rows where `present` is False are zero.
        present: bool [N].
        modality: what is described: `metadata`, `text`, `image`, `collaborative`, or a sum like `text+image`.
        encoder: name of the encoder and its settings.
        weights_hash: hash of the encoder's weights; empty where it has none.
        parts: (modality, width) of each block of columns, in order; the widths add up to D.
    """

    vectors: NDArray[np.float32]
    present: NDArray[np.bool_]
    modality: str
    encoder: str
    weights_hash: str = ""
    parts: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or self.present.shape != (len(self.vectors),):
            raise DataError(
                f"{self.modality} features: vectors {self.vectors.shape} and present {self.present.shape} "
                "do not fit; expected [N, D] and [N]"
            )
        finite = np.isfinite(self.vectors).all(axis=1)
        if not finite.all():
            raise DataError(
                f"{self.modality} features hold NaN or infinity for {int((~finite).sum())} of {len(self)} "
                f"items (first: item {int(np.argmin(finite))}); mark those items absent or re-run the encoder"
            )
        if not self.parts:
            object.__setattr__(self, "parts", ((self.modality, self.width),))

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def digest(self) -> str:
        """Hash of vectors and present mask, hex."""
        digest = hashlib.sha256(np.ascontiguousarray(self.vectors).data)
        digest.update(np.ascontiguousarray(self.present).data)
        return digest.hexdigest()

    @property
    def width(self) -> int:
        """D."""
        return int(self.vectors.shape[1])


class ItemEncoder(Protocol):
    """Turns a catalogue into features. `train` is for encoders that learn from behaviour; most ignore it."""

    def encode(self, items: ItemTable, train: Interactions) -> ItemFeatures:
        """Features of every item, in the order of the item table."""
        ...
