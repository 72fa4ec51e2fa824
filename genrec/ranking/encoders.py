"""What features learn from training events, and how they turn values into what a batch holds.

An encoder is made by a feature's `learn`, saved as JSON (`state`), and made again from it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from genrec.ranking.fields import OUT_OF_VOCABULARY, mask_name
from genrec.ranking.values import Codes, Labels, Name, Numbers, Vectors

V = TypeVar("V")
Arrays = dict[str, NDArray[Any]]
"""Arrays of n rows by the ending of their key in the batch; the ending of a field's own array is empty."""

MASK = mask_name("")
FARTHEST = 10.0
"""Standardised numbers are cut off here, so that a value unlike all of training cannot upset a model."""


@dataclass(frozen=True)
class Encoder(ABC, Generic[V]):
    """What was learnt; its attributes are JSON values."""

    @abstractmethod
    def encode(self, values: V) -> Arrays:
        """Arrays of the n values; nothing in them is NaN."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Ids, that of values out of the vocabulary included; columns of a dense field."""

    @property
    def endings(self) -> tuple[str, ...]:
        """Keys of what `encode` gives."""
        return ("",)

    def state(self) -> dict[str, Any]:
        """As JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Self:
        """From what `state` gave, after its way through JSON."""
        return cls(**{name: _frozen(value) for name, value in state.items()})


def _frozen(value: Any) -> Any:
    """Lists as tuples."""
    return tuple(_frozen(part) for part in value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Vocabulary(Encoder[Labels]):
    """Ids 1, 2, ... of the labels met in training, 0 of all others and of missing ones; one label per row."""

    vocabulary: tuple[Name, ...]

    @property
    def size(self) -> int:
        """Labels, and one id for those out of the vocabulary."""
        return len(self.vocabulary) + 1

    def encode(self, values: Labels) -> Arrays:
        """Ids [n]."""
        return {"": self.ids(values)}

    def ids(self, values: Labels) -> NDArray[np.int64]:
        """Ids in the shape of the codes."""
        known = self._ids
        of_name = [known.get(name, OUT_OF_VOCABULARY) for name in values.names]
        return np.array([*of_name, OUT_OF_VOCABULARY], dtype=np.int64)[
            values.codes
        ]  # the code -1 is the last

    @cached_property
    def _ids(self) -> dict[Name, int]:
        return {name: place for place, name in enumerate(self.vocabulary, start=1)}


@dataclass(frozen=True)
class Bags(Vocabulary):
    """As `Vocabulary`, for several labels per row; those out of the vocabulary have the id 0, not missing ones."""

    @property
    def endings(self) -> tuple[str, ...]:
        """Ids and mask."""
        return ("", MASK)

    def encode(self, values: Labels) -> Arrays:
        """Ids [n, M] and their mask."""
        codes = values.codes if values.codes.ndim == 2 else values.codes[:, None]
        return {"": self.ids(Labels(values.names, codes)), MASK: codes >= 0}


@dataclass(frozen=True)
class Buckets(Encoder[Numbers]):
    """Ids 1, 2, ... of the intervals between edges, each with its lower edge; 0 where the number is missing."""

    edges: tuple[float, ...]

    @property
    def size(self) -> int:
        """Intervals, and one id for a missing number."""
        return len(self.edges) + 2

    def encode(self, values: Numbers) -> Arrays:
        """Ids [n]."""
        ids = np.searchsorted(np.array(self.edges, dtype=np.float64), values, side="right") + 1
        return {"": np.where(np.isnan(values), OUT_OF_VOCABULARY, ids).astype(np.int64)}


@dataclass(frozen=True)
class Scale(Encoder[Numbers]):
    """A number, transformed, less its mean, by its deviation; and whether there is one: 0, 0 where there is not."""

    transform: str
    mean: float
    deviation: float

    @property
    def size(self) -> int:
        """The number and its presence."""
        return 2

    def encode(self, values: Numbers) -> Arrays:
        """float32 [n, 2]."""
        known = np.isfinite(values)
        scaled = (TRANSFORMS[self.transform](np.where(known, values, 0.0)) - self.mean) / self.deviation
        columns = np.stack([np.where(known, np.clip(scaled, -FARTHEST, FARTHEST), 0.0), known], axis=1)
        return {"": columns.astype(np.float32)}


def _log(values: Numbers) -> Numbers:
    return np.sign(values) * np.log1p(np.abs(values))


def _sqrt(values: Numbers) -> Numbers:
    return np.sign(values) * np.sqrt(np.abs(values))


def _as_they_are(values: Numbers) -> Numbers:
    return values


TRANSFORMS: Mapping[str, Callable[[Numbers], Numbers]] = {
    "none": _as_they_are,
    "log": _log,
    "sqrt": _sqrt,
}
"""Odd functions, so that negative numbers are no special case; log is that of one plus the number."""


@dataclass(frozen=True)
class Rescaled(Encoder[Vectors]):
    """Vectors by one factor, which keeps their angles and relative lengths; and whether there is one."""

    width: int
    deviation: float

    @property
    def size(self) -> int:
        """The vector's columns and its presence."""
        return self.width + 1

    def encode(self, values: Vectors) -> Arrays:
        """float32 [n, d + 1]."""
        present = values.present[:, None]
        scaled = np.where(present, values.vectors / self.deviation, 0.0)
        return {"": np.concatenate([scaled, present], axis=1).astype(np.float32)}


@dataclass(frozen=True)
class Prefixes(Encoder[Codes]):
    """For each level one id: of the codes down to that level together, or of its own code.

    Attributes:
        sizes: of the codebooks.
        whole: whether the codes before count.
        vocabularies: of each level, the codes as one number, ascending, met in training.
    """

    sizes: tuple[int, ...]
    whole: bool
    vocabularies: tuple[tuple[int, ...], ...]

    @property
    def size(self) -> int:
        """Ids of the first level."""
        return self.size_of(0)

    @property
    def endings(self) -> tuple[str, ...]:
        """One per level."""
        return tuple(level_ending(level + 1) for level in range(len(self.vocabularies)))

    def size_of(self, level: int) -> int:
        """Ids of a level."""
        return len(self.vocabularies[level]) + 1

    def encode(self, values: Codes) -> Arrays:
        """Ids [n] under `_1`, `_2`, ..."""
        numbers = prefix_numbers(values, len(self.vocabularies), self.whole)
        encoded: Arrays = {}
        for ending, number, known in zip(self.endings, numbers, self.vocabularies, strict=True):
            table = np.array(known, dtype=np.int64)
            place = np.minimum(np.searchsorted(table, number), max(len(table) - 1, 0))
            found = table[place] == number if len(table) else np.zeros(len(number), dtype=bool)
            encoded[ending] = np.where(found, place + 1, OUT_OF_VOCABULARY).astype(np.int64)
        return encoded


def level_ending(level: int) -> str:
    """Of the key of a level, counted from 1."""
    return f"_{level}"


def prefix_numbers(values: Codes, depth: int, whole: bool) -> list[NDArray[np.int64]]:
    """For each level down to `depth` one number [n] per item; -1 where it has no id."""
    missing = values.codes[:, 0] < 0
    numbers = []
    prefix = np.zeros(len(values.codes), dtype=np.int64)
    for level in range(depth):
        code = values.codes[:, level]
        prefix = prefix * values.sizes[level] + code if whole else code
        numbers.append(np.where(missing, -1, prefix))
    return numbers
