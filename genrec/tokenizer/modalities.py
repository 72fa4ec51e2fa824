"""Items described by several modalities, some of which may be missing, inside an autoencoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from genrec.features.fusion import Fusion, present_blocks
from genrec.tokenizer.scaling import CONSTANT

MakeFusion = Callable[[Sequence[int]], Fusion]
"""A fusion from the widths of the modalities' blocks."""


class Modalities:
    """Blocks of columns, one per modality; a block of zeros in raw features is a missing modality.

    Args:
        parts: (modality, width) of each block, in order (`ItemFeatures.parts`).
    """

    def __init__(self, parts: Sequence[tuple[str, int]]) -> None:
        self.widths = [width for _, width in parts]
        names = [name for name, _ in parts]
        self.names = [  # two blocks of one modality are told apart by number
            name if names.count(name) == 1 else f"{name}_{names[:place].count(name) + 1}"
            for place, name in enumerate(names)
        ]

    def scaling(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and scale [D] over the rows that have a modality; every modality has the same total variance.

        The mean variance of all columns is 1, so that the other terms of the loss weigh what they weigh without
        modalities; within a modality, distances keep their proportions.
        """
        share = sum(self.widths) / len(self.widths)
        means, scales = [], []
        there = present_blocks(x, self.widths)
        for rows, block in zip(there.T, torch.split(x, self.widths, dim=1), strict=True):
            present = block[rows] if rows.any() else block
            mean = present.mean(0)
            deviation = ((present - mean).square().sum(1).mean() / share).sqrt()
            means.append(mean)
            scales.append(torch.where(deviation > CONSTANT, deviation, 1.0).expand_as(mean))
        return torch.cat(means), torch.cat(scales)

    def masked(self, standardised: Tensor, raw: Tensor) -> Tensor:
        """Standardised features with zeros where the raw ones [B, D] miss a modality."""
        return torch.where(self.columns(raw), standardised, 0.0)

    def columns(self, x: Tensor) -> Tensor:
        """Which values of features [B, D] are there: bool [B, D]."""
        widths = torch.tensor(self.widths, device=x.device)
        return present_blocks(x, self.widths).repeat_interleave(widths, dim=1, output_size=x.shape[1])

    def reconstruction(self, restored: Tensor, target: Tensor) -> dict[str, Tensor]:
        """For each modality, the squared error [] summed over its columns, mean of the rows that have it.

        Args:
            restored: [B, D].
            target: [B, D], `masked`.
        """
        there = present_blocks(target, self.widths)
        squares = (restored - target).square()
        blocks = zip(self.names, there.T, torch.split(squares, self.widths, dim=1), strict=True)
        return {
            name: torch.where(rows, block.sum(1), 0.0).sum() / rows.sum().clamp_min(1)
            for name, rows, block in blocks
        }
