"""Several modalities in one vector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemEncoder, ItemFeatures


class Concat:
    """Blocks side by side, each multiplied by its weight; an item is present if any block has it.

    Distances add up over columns, so the weights (and `Steps` inside) decide how much each modality counts.

    Args:
        encoders: at least one.
        weights: one positive number per encoder; None weighs all equally.
    """

    def __init__(self, encoders: Sequence[ItemEncoder], weights: Sequence[float] | None = None) -> None:
        if not encoders:
            raise ConfigError("Concat.encoders must name at least one encoder")
        weights = [1.0] * len(encoders) if weights is None else list(weights)
        if len(weights) != len(encoders) or not all(np.isfinite(w) and w > 0 for w in weights):
            raise ConfigError(
                f"Concat.weights must be {len(encoders)} positive numbers, one per encoder, got {weights}"
            )
        self.encoders = list(encoders)
        self.weights = weights

    def encode(self, items: ItemTable, train: Interactions) -> ItemFeatures:
        """Features [N, sum of the encoders' widths]."""
        blocks = [encoder.encode(items, train) for encoder in self.encoders]
        return concatenate(blocks, self.weights)


def concatenate(blocks: Sequence[ItemFeatures], weights: Sequence[float]) -> ItemFeatures:
    """Weighted blocks of the same N items side by side; `parts` lists every block's parts in order."""
    weighted = [block.vectors * np.float32(weight) for block, weight in zip(blocks, weights, strict=True)]
    described = [
        block.encoder if weight == 1.0 else f"{weight:g} * {block.encoder}"
        for block, weight in zip(blocks, weights, strict=True)
    ]
    modalities = [name for block in blocks for name in block.modality.split("+")]
    return ItemFeatures(
        vectors=np.concatenate(weighted, axis=1),
        present=np.any([block.present for block in blocks], axis=0),
        modality="+".join(dict.fromkeys(modalities)),
        encoder=f"Concat({', '.join(described)})",
        weights_hash="+".join(block.weights_hash for block in blocks if block.weights_hash),
        parts=tuple(part for block in blocks for part in block.parts),
    )
