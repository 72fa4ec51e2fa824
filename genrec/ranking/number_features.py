"""Features of one number per row: standardised, or as an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from genrec.errors import ConfigError
from genrec.ranking.declaration import Feature, Weights, check_positive
from genrec.ranking.encoders import TRANSFORMS, Buckets, Encoder, Scale
from genrec.ranking.fields import Field
from genrec.ranking.sources import Reader
from genrec.ranking.values import Numbers


@dataclass(frozen=True, kw_only=True)
class Numeric(Feature[Numbers]):
    """One number, standardised by the training events' mean and deviation; a missing one is told by a bit.

    Attributes:
        transform: before: none, log (of one plus the number) or sqrt.
    """

    heads: ClassVar[tuple[str, ...]] = ("user", "item", "statistic")
    encoder: ClassVar[type[Scale]] = Scale
    transform: Literal["none", "log", "sqrt"] = "none"

    def check(self, where: str) -> None:
        """Types say it all."""

    def read(self, reader: Reader) -> Numbers:
        """Numbers."""
        return reader.numbers()

    def learn(self, values: Numbers, weights: Weights, where: str) -> Scale:
        """Mean and deviation; 0 and 1 where nothing is known."""
        known = np.isfinite(values) & (weights > 0)
        if not known.any():
            return Scale(self.transform, 0.0, 1.0)
        numbers, share = TRANSFORMS[self.transform](values[known]), weights[known]
        mean = float(np.average(numbers, weights=share))
        deviation = float(np.sqrt(np.average((numbers - mean) ** 2, weights=share)))
        return Scale(self.transform, mean, deviation if deviation > 1e-9 else 1.0)

    def fields(self, name: str, encoder: Encoder[Numbers]) -> tuple[Field, ...]:
        """One dense field."""
        return (Field(name, "dense", encoder.size, name),)


@dataclass(frozen=True, kw_only=True)
class Bucketised(Feature[Numbers]):
    """One number as the id of its interval, embedded.

    Attributes:
        bins: intervals with equally many training events each; fewer where a value is too frequent.
        edges: the bounds between intervals instead, ascending.
        width: of the table; that of the layer if not given.
    """

    heads: ClassVar[tuple[str, ...]] = ("user", "item", "statistic")
    encoder: ClassVar[type[Buckets]] = Buckets
    bins: int | None = None
    edges: Sequence[float] | None = None
    width: int | None = None

    def check(self, where: str) -> None:
        """Bins or edges are given, not both."""
        check_positive(where, {"width": self.width})
        if (self.bins is None) == (self.edges is None):
            raise ConfigError(f"{where} needs bins, a number of quantiles, or edges, a list: one of the two")
        if self.bins is not None and self.bins < 2:
            raise ConfigError(f"{where}.bins must be at least 2, got {self.bins}")
        edges = np.array(self.edges if self.edges is not None else [0.0], dtype=np.float64)
        if not len(edges) or not np.isfinite(edges).all() or np.any(np.diff(edges) <= 0):
            raise ConfigError(f"{where}.edges must be numbers in ascending order, got {self.edges}")

    def read(self, reader: Reader) -> Numbers:
        """Numbers."""
        return reader.numbers()

    def learn(self, values: Numbers, weights: Weights, where: str) -> Buckets:
        """The inner quantiles of the training events' values."""
        if self.edges is not None:
            return Buckets(tuple(float(edge) for edge in self.edges))
        assert self.bins is not None
        known = np.isfinite(values) & (weights > 0)
        order = np.argsort(values[known], kind="stable")
        numbers, total = values[known][order], np.cumsum(weights[known][order])
        if not len(numbers):
            return Buckets(())
        wanted = total[-1] * np.arange(1, self.bins) / self.bins
        edges = np.unique(numbers[np.searchsorted(total, wanted, side="right")])
        return Buckets(tuple(edges[edges > numbers[0]].tolist()))

    def fields(self, name: str, encoder: Encoder[Numbers]) -> tuple[Field, ...]:
        """One of ids."""
        return (Field(name, "id", encoder.size, name, self.width),)
