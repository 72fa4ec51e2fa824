"""The kinds of features: what may be declared of each, and what it learns from training events.

    categorical   one label per row                source user, item, user.*, item.*, statistic.hour, ...
    multi_label   several labels, pooled           source user.*, item.*, statistic.user_genres
    numeric       one number, standardised         source user.*, item.*, statistic.*
    bucketised    one number, as its interval      likewise
    sequence      labels of the user's last items  source history, history.COLUMN
    embedding     a given vector of the item       source features
    semantic_id   one id per level                 source ids

A kind is a dataclass: its attributes are the keys that a declaration may have, with their types and defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from genrec.errors import ConfigError
from genrec.ranking.declaration import Feature, Weights, check_positive
from genrec.ranking.encoders import Encoder, Prefixes, Rescaled, level_ending, prefix_numbers
from genrec.ranking.fields import Field
from genrec.ranking.label_features import Categorical, ItemSequence, MultiLabel
from genrec.ranking.number_features import Bucketised, Numeric
from genrec.ranking.sources import Reader
from genrec.ranking.values import Codes, Vectors


@dataclass(frozen=True, kw_only=True)
class Embedding(Feature[Vectors]):
    """A given vector of the item, projected; items without one get a learned vector."""

    heads: ClassVar[tuple[str, ...]] = ("features",)
    encoder: ClassVar[type[Rescaled]] = Rescaled
    source: str = "features"

    def check(self, where: str) -> None:
        """Nothing but the source is declared."""

    def read(self, reader: Reader) -> Vectors:
        """Vectors."""
        return reader.vectors()

    def learn(self, values: Vectors, weights: Weights, where: str) -> Rescaled:
        """The factor that makes the mean square of a column of training items 1."""
        met = values.vectors[values.present & (weights > 0)].astype(np.float64)
        deviation = float(np.sqrt(np.mean(met**2))) if met.size else 1.0
        return Rescaled(values.vectors.shape[1], deviation if deviation > 1e-9 else 1.0)

    def fields(self, name: str, encoder: Encoder[Vectors]) -> tuple[Field, ...]:
        """One dense field."""
        return (Field(name, "dense", encoder.size, name),)


@dataclass(frozen=True, kw_only=True)
class SemanticId(Feature[Codes]):
    """The first levels of the item's semantic id, each one id: field `NAME_1` and so on.

    Attributes:
        depth: levels.
        by: `prefix`, where level 2 stands for the first two codes together, as in the tree of ids: items with a
            common beginning share what is learnt of it. `level` takes each code by itself.
        width: of the tables; that of the layer if not given.
    """

    heads: ClassVar[tuple[str, ...]] = ("ids",)
    encoder: ClassVar[type[Prefixes]] = Prefixes
    source: str = "ids"
    depth: int = 2
    by: Literal["prefix", "level"] = "prefix"
    width: int | None = None

    def check(self, where: str) -> None:
        """Depth and width are positive."""
        check_positive(where, {"depth": self.depth, "width": self.width})

    def read(self, reader: Reader) -> Codes:
        """Codes."""
        return reader.codes()

    def learn(self, values: Codes, weights: Weights, where: str) -> Prefixes:
        """The prefixes of items met in training."""
        if self.depth > len(values.sizes):
            raise ConfigError(
                f"{where}.depth is {self.depth}, but the semantic ids have {len(values.sizes)} levels"
            )
        whole = self.by == "prefix"
        if whole and np.prod([float(size) for size in values.sizes[: self.depth]]) >= 2**63:
            raise ConfigError(
                f"{where}.depth is {self.depth}, too deep for prefixes of codebooks {values.sizes}"
            )
        met = (weights > 0) & (values.codes[:, 0] >= 0)
        numbers = prefix_numbers(values, self.depth, whole)
        known = tuple(tuple(np.unique(number[met]).tolist()) for number in numbers)
        return Prefixes(values.sizes, whole, known)

    def fields(self, name: str, encoder: Encoder[Codes]) -> tuple[Field, ...]:
        """One of ids per level."""
        assert isinstance(encoder, Prefixes)
        names = [f"{name}{level_ending(level)}" for level in range(1, self.depth + 1)]
        return tuple(
            Field(one, "id", encoder.size_of(level), one, self.width) for level, one in enumerate(names)
        )


KINDS: Mapping[str, type[Feature[Any]]] = {
    "categorical": Categorical,
    "multi_label": MultiLabel,
    "numeric": Numeric,
    "bucketised": Bucketised,
    "sequence": ItemSequence,
    "embedding": Embedding,
    "semantic_id": SemanticId,
}
