"""The SemanticIds artifact: one unique tuple of codes per item of the catalogue."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from genrec.artifacts import (
    Manifest,
    load_array,
    read_manifest,
    save_artifact,
    text_hash,
)
from genrec.data.tables import ItemTable
from genrec.errors import ArtifactError, DataError
from genrec.tokenizer.collisions import collision_rate

KIND = "semantic_ids"


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

    @property
    def identity(self) -> str:
        """Hash of codes, sizes and catalogue."""
        return text_hash(f"{self.codes.tobytes().hex()}|{self.sizes}|{self.catalogue}")

    def save(
        self,
        folder: Path,
        items: ItemTable,
        *,
        weights: Mapping[str, torch.Tensor],
        config: str,
        config_hash: str,
        inputs: Mapping[str, Mapping[str, str]],
        rerun: str,
    ) -> Manifest:
        """Write the artifact: `codes.npy`, the tokenizer's weights, and the ids as readable CSV."""
        return save_artifact(
            folder,
            kind=KIND,
            payload={
                "codes.npy": self.codes,
                "tokenizer.safetensors": weights,
                "semantic_ids.csv": readable(self, items),
            },
            config=config,
            config_hash=config_hash,
            inputs=inputs,
            metrics=self.quality,
            facts={
                "sizes": list(self.sizes),
                "tokenizer": self.tokenizer,
                "catalogue": self.catalogue,
                "identity": self.identity,
            },
            rerun=rerun,
        )

    @classmethod
    def load(cls, folder: Path, items: ItemTable, *, rerun: str = "python train_rqvae.py CONFIG") -> SemanticIds:
        """Read and verify what `save` wrote.

        Raises:
            ArtifactError: no such artifact, damaged, or made for another catalogue.
        """
        manifest = read_manifest(folder, KIND, rerun=rerun)
        ids = cls(
            codes=load_array(folder, manifest, "codes.npy"),
            sizes=tuple(manifest.facts["sizes"]),
            tokenizer=manifest.facts["tokenizer"],
            catalogue=manifest.facts["catalogue"],
            quality=manifest.metrics,
        )
        if ids.catalogue != catalogue_hash(items):
            raise ArtifactError(
                f"the semantic ids in {folder} were made for another catalogue ({len(ids)} items, this one has "
                f"{len(items)}); run `{manifest.rerun or rerun}` again"
            )
        return ids


def catalogue_hash(items: ItemTable) -> str:
    """Hash of the raw item ids in order."""
    return text_hash("\n".join(map(str, items.ids)))


def readable(ids: SemanticIds, items: ItemTable) -> str:
    """The ids as CSV: item_id, title, one column per level."""
    frame = pd.DataFrame(ids.codes, columns=[f"code_{level}" for level in range(ids.n_levels)])
    frame.insert(0, "title", items.frame["title"].to_numpy())
    frame.insert(0, "item_id", items.ids)
    buffer = io.StringIO()
    frame.to_csv(buffer, index=False)
    return buffer.getvalue()


def show(codes: NDArray[np.integer]) -> str:
    """One semantic id for people: `<12, 7, 200>`."""
    return "<" + ", ".join(map(str, codes)) + ">"
