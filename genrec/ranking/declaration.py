"""What every kind of feature has: what may be declared, what it learns, and the fields it makes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic

import numpy as np
from numpy.typing import NDArray

from genrec.errors import ConfigError
from genrec.ranking.encoders import Encoder, V
from genrec.ranking.fields import Field
from genrec.ranking.sources import Reader

Weights = NDArray[np.int64]
"""Training events of each value that is learnt from [n]."""


@dataclass(frozen=True, kw_only=True)
class Feature(ABC, Generic[V]):
    """A declared feature.

    Attributes:
        source: where its values come from.
    """

    heads: ClassVar[tuple[str, ...]]
    encoder: ClassVar[type[Encoder[Any]]]
    source: str

    @abstractmethod
    def check(self, where: str) -> None:
        """Raise ConfigError where a value is out of range; `where` is the binding."""

    @abstractmethod
    def read(self, reader: Reader) -> V:
        """Its values."""

    @abstractmethod
    def learn(self, values: V, weights: Weights, where: str) -> Encoder[V]:
        """From the values met in training; those of weight 0 were not."""

    @abstractmethod
    def fields(self, name: str, encoder: Encoder[V]) -> tuple[Field, ...]:
        """Its fields."""

    @property
    def owner(self) -> str | None:
        """The feature whose vocabulary and table it takes."""
        return None


def check_positive(where: str, values: Mapping[str, int | None]) -> None:
    """Raise ConfigError unless each value that is given is at least 1."""
    for key, value in values.items():
        if value is not None and value < 1:
            raise ConfigError(f"{where}.{key} must be at least 1, got {value}")
