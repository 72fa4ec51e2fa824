"""Named steps on item features: standardise, L2-normalise, PCA-whiten.

A step sees the present rows only; absent rows are neither fitted on nor moved, they stay zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError, DataError
from genrec.features.base import ItemEncoder, ItemFeatures

Rows = NDArray[np.float64]


class Step(Protocol):
    """A map of the present rows.

    Attributes:
        name: the step and its settings.
        mixes: whether a column of the result draws on several columns, so that the parts are lost.
    """

    name: str
    mixes: bool

    def apply(self, rows: Rows) -> Rows:
        """Rows [P, D] to rows [P, D']; P is at least 1."""
        ...


class Standardise:
    """Every column to mean 0 and deviation 1; a constant column becomes 0."""

    name = "Standardise()"
    mixes = False

    def apply(self, rows: Rows) -> Rows:
        """[P, D] to [P, D]."""
        centred = rows - rows.mean(axis=0)
        deviation = centred.std(axis=0)
        return np.asarray(centred / np.where(deviation > 0, deviation, 1.0))


class L2:
    """Every row to length 1; a row of zeros stays zero."""

    name = "L2()"
    mixes = False

    def apply(self, rows: Rows) -> Rows:
        """[P, D] to [P, D]."""
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        return rows / np.where(length > 0, length, 1.0)


class PcaWhiten:
    """Projection on the first `width` principal axes, each divided by its deviation to the `power`.

    Whitening gives every axis the same say in a distance (Su et al., 2021, "Whitening Sentence
    Representations", section 3); power 0.5 goes half the way, power 0 is plain PCA. Deterministic: each axis
    points to where its largest loading is positive. Where there are fewer axes than `width`, the last columns
    are zero.

    Args:
        width: columns.
        power: in 0..1.
    """

    mixes = True

    def __init__(self, width: int, power: float = 1.0) -> None:
        if width < 1:
            raise ConfigError(f"PcaWhiten.width must be at least 1, got {width}")
        if not 0.0 <= power <= 1.0:
            raise ConfigError(f"PcaWhiten.power must be in 0..1, got {power}")
        self.width = width
        self.power = power
        self.name = f"PcaWhiten(width={width}, power={power:g})"

    def apply(self, rows: Rows) -> Rows:
        """[P, D] to [P, width]."""
        centred = rows - rows.mean(axis=0)
        variance, axes = np.linalg.eigh(centred.T @ centred / len(rows))
        variance, axes = variance[::-1][: self.width], axes[:, ::-1][:, : self.width]
        real = variance > 1e-9 * max(variance[0], np.finfo(np.float64).tiny)  # the rest is rounding noise
        variance, axes = variance[real], axes[:, real]
        largest = np.abs(axes).argmax(axis=0)
        axes = axes * np.sign(axes[largest, np.arange(len(largest))])
        projected = np.zeros((len(rows), self.width))
        projected[:, : len(variance)] = (centred @ axes) / variance ** (self.power / 2)
        return projected


class Steps:
    """An encoder followed by steps; itself an encoder.

    Args:
        encoder: what is encoded first.
        steps: applied in order.
    """

    def __init__(self, encoder: ItemEncoder, steps: Sequence[Step]) -> None:
        if not steps:
            raise ConfigError("Steps.steps must name at least one step; use the encoder itself without any")
        self.encoder = encoder
        self.steps = list(steps)

    def encode(self, items: ItemTable, train: Interactions) -> ItemFeatures:
        """Features [N, width of the last step]."""
        features = self.encoder.encode(items, train)
        for step in self.steps:
            features = apply_step(features, step)
        return features


def apply_step(features: ItemFeatures, step: Step) -> ItemFeatures:
    """The features with `step` applied to the present rows.

    Raises:
        DataError: no item is present.
    """
    if not features.present.any():
        raise DataError(
            f"{features.modality} features: no item has any, so {step.name} has nothing to fit; "
            f"drop {features.encoder} from the configuration or give the items their {features.modality}"
        )
    rows = step.apply(features.vectors[features.present].astype(np.float64))
    vectors = np.zeros((len(features), rows.shape[1]), dtype=np.float32)
    vectors[features.present] = rows
    return replace(
        features,
        vectors=vectors,
        encoder=f"{features.encoder} > {step.name}",
        parts=((features.modality, rows.shape[1]),) if step.mixes else features.parts,
    )
