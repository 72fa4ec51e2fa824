"""Features of labels: one per row, several, or those of a history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from genrec.errors import ConfigError
from genrec.ranking.declaration import Feature, Weights, check_positive
from genrec.ranking.encoders import Bags, Encoder, Vocabulary
from genrec.ranking.fields import Field, Pooling
from genrec.ranking.sources import Reader
from genrec.ranking.values import Labels, Name


@dataclass(frozen=True, kw_only=True)
class Categorical(Feature[Labels]):
    """One label per row, embedded.

    Attributes:
        width: of the table; that of the layer if not given.
        shares: name of a feature whose vocabulary and table are used.
        min_count: training events that a label needs to get an id of its own.
    """

    heads: ClassVar[tuple[str, ...]] = ("user", "item", "statistic")
    encoder: ClassVar[type[Vocabulary]] = Vocabulary
    width: int | None = None
    shares: str | None = None
    min_count: int = 1
    _advice: ClassVar[str] = ", or kind 'multi_label'"

    def check(self, where: str) -> None:
        """Widths and counts are positive; a shared table has its width already."""
        check_positive(where, {"width": self.width, "min_count": self.min_count})
        if self.shares is not None and (self.width, self.min_count) != (None, 1):
            raise ConfigError(
                f"{where}.shares is {self.shares!r}, whose table has its width and vocabulary already; "
                f"declare width and min_count for {self.shares!r}"
            )

    def read(self, reader: Reader) -> Labels:
        """Labels, one each."""
        values = reader.labels()
        if values.codes.ndim > 1:
            raise reader.source.error(
                f"is {self.source!r}, whose values are lists; use a column with one label each{self._advice}"
            )
        return values

    def learn(self, values: Labels, weights: Weights, where: str) -> Vocabulary:
        """The vocabulary, sorted."""
        counts = values.counts(weights)
        met = [
            name for name, count in zip(values.names, counts.tolist(), strict=True) if count >= self.min_count
        ]
        return self.encoder(tuple(sorted(met, key=_kind_and_value)))

    def fields(self, name: str, encoder: Encoder[Labels]) -> tuple[Field, ...]:
        """One of ids."""
        return (Field(name, "id", encoder.size, self.shares or name, self.width),)

    @property
    def owner(self) -> str | None:
        """As declared by `shares`."""
        return self.shares

    def borrow(self, encoder: Vocabulary) -> Vocabulary:
        """The same vocabulary, in this kind's form."""
        return self.encoder(encoder.vocabulary)


@dataclass(frozen=True, kw_only=True)
class MultiLabel(Categorical):
    """Several labels per row, their embeddings pooled.

    Attributes:
        pooling: mean, sum or max.
    """

    encoder: ClassVar[type[Vocabulary]] = Bags
    pooling: Pooling = "mean"

    def read(self, reader: Reader) -> Labels:
        """Labels; one is several, too."""
        return reader.labels()

    def fields(self, name: str, encoder: Encoder[Labels]) -> tuple[Field, ...]:
        """One bag."""
        return (Field(name, "bag", encoder.size, self.shares or name, self.width, self.pooling),)


@dataclass(frozen=True, kw_only=True)
class ItemSequence(Categorical):
    """The user's last items before the row's time, or a label of each: pooled, or attended to by a model (DIN).

    Attributes:
        length: most items, the last ones.
        pooling: mean, sum or max.
    """

    heads: ClassVar[tuple[str, ...]] = ("history",)
    source: str = "history"
    length: int = 50
    pooling: Pooling = "mean"
    _advice: ClassVar[str] = ""

    def check(self, where: str) -> None:
        """The length is positive, too."""
        super().check(where)
        check_positive(where, {"length": self.length})

    def fields(self, name: str, encoder: Encoder[Labels]) -> tuple[Field, ...]:
        """One sequence."""
        return (Field(name, "sequence", encoder.size, self.shares or name, self.width, self.pooling),)


def _kind_and_value(name: Name) -> tuple[str, Name]:
    """Numbers before texts."""
    return type(name).__name__, name
