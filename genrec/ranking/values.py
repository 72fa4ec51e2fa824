"""Values as features read them: labels with names, numbers, vectors, codes; each knows what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Name: TypeAlias = int | str
"""A label: JSON keeps both kinds apart."""

Numbers: TypeAlias = NDArray[np.float64]
"""[n], NaN where missing."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of n entities or rows.

    Attributes:
        names: what the codes number.
        codes: int64 [n], or [n, M] where there can be several; -1 where there is none.
    """

    names: tuple[Name, ...]
    codes: NDArray[np.int64]

    def counts(self, weights: NDArray[np.int64]) -> NDArray[np.int64]:
        """Total weight of each name [names]; `weights` is [n]."""
        row = np.nonzero(self.codes >= 0)[0]
        codes = self.codes[self.codes >= 0]
        total = np.bincount(codes, weights=weights[row], minlength=len(self.names))
        return total.astype(np.int64)


@dataclass(frozen=True, slots=True)
class Vectors:
    """Vectors of n items: float32 [n, d], zero where `present` (bool [n]) is false."""

    vectors: NDArray[np.float32]
    present: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Codes:
    """Semantic ids of n items: int64 [n, L], -1 where missing; `sizes` of the L codebooks."""

    codes: NDArray[np.int64]
    sizes: tuple[int, ...]


def labels_of(column: pd.Series) -> Labels:
    """Labels of a column: one per row, or several where the column holds lists."""
    column = column.reset_index(drop=True)
    listed = column.map(lambda value: isinstance(value, list | tuple | set | np.ndarray)).astype(bool)
    pairs = column.explode() if listed.any() else column
    pairs = pairs.dropna()
    codes, uniques = pd.factorize(pairs, sort=False)
    names = tuple(_plain(value) for value in uniques)
    row = pairs.index.to_numpy()
    if not listed.any():
        single = np.full(len(column), -1, dtype=np.int64)
        single[row] = codes
        return Labels(names, single)
    lengths = np.bincount(row, minlength=len(column))
    several = np.full((len(column), max(int(lengths.max(initial=0)), 1)), -1, dtype=np.int64)
    within = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    several[row, within] = codes
    return Labels(names, several)


def _plain(value: object) -> Name:
    """A value of a column as JSON has it."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return int(value)
    return str(value)
