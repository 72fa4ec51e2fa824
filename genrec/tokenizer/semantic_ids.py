"""Semantic ids: one unique tuple of codes per item of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from genrec.artifacts import text_hash
from genrec.data.tables import ItemTable
from genrec.errors import DataError
from genrec.tokenizer.collisions import collision_rate


@dataclass(frozen=True)
class SemanticIds:
    """Semantic ids of a catalogue.

    Attributes:
        codes: int32 [N, L]; row i is the id of item i; rows are distinct.
        sizes: codebook size of each level, L of them.
        tokenizer: name of what made them.
        catalogue: hash of the raw item ids in order, so that ids are not used with another catalogue.
        quality: figures over the whole catalogue.
    """

    codes: NDArray[np.int32]
    sizes: tuple[int, ...]
    tokenizer: str
    catalogue: str
    quality: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.codes.ndim != 2 or self.codes.shape[1] != len(self.sizes):
            raise DataError(f"codes of shape {self.codes.shape} do not fit {len(self.sizes)} codebooks")
        if len(self.codes) and (self.codes.min() < 0 or (self.codes >= np.array(self.sizes)).any()):
            raise DataError(f"codes lie outside their codebooks of sizes {self.sizes}; tokenize again")
        rate = collision_rate(self.codes, self.sizes)
        if rate > 0:
            raise DataError(f"{rate:.2%} of items share a semantic id; apply a collision rule before")

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def n_levels(self) -> int:
        """L."""
        return len(self.sizes)


def catalogue_hash(items: ItemTable) -> str:
    """Hash of the raw item ids in order."""
    return text_hash("\n".join(map(str, items.ids)))


def show(codes: NDArray[np.integer]) -> str:
    """One semantic id for people: `<12, 7, 200>`."""
    return "<" + ", ".join(map(str, codes)) + ">"
