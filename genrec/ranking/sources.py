"""Where a feature's values come from: tables, statistics at the row's time, item vectors, semantic ids."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genrec.data.tables import ItemTable, UserTable
from genrec.errors import ConfigError, DataError
from genrec.ranking.statistics import LABELS, NUMBERS, STATISTICS, Moment
from genrec.ranking.values import Codes, Labels, Numbers, Vectors, labels_of
from genrec.tokenizer.semantic_ids import SemanticIds

Side = Literal["user", "item"]
T = TypeVar("T")


class ItemVectors(Protocol):
    """`genrec.features.base.ItemFeatures`, as far as it is read here."""

    @property
    def vectors(self) -> NDArray[np.float32]:
        """[N, D], finite."""
        ...

    @property
    def present(self) -> NDArray[np.bool_]:
        """[N]."""
        ...


@dataclass(frozen=True)
class Tables:
    """What features read besides the log."""

    items: ItemTable
    users: UserTable
    features: ItemVectors | None = None
    ids: SemanticIds | None = None

    def __post_init__(self) -> None:
        for name, given in (
            ("features", None if self.features is None else self.features.vectors),
            ("semantic ids", None if self.ids is None else self.ids.codes),
        ):
            if given is not None and len(given) != len(self.items):
                raise DataError(
                    f"there are {name} of {len(given)} items for a catalogue of {len(self.items)}; "
                    "make them again for this catalogue"
                )


@dataclass(frozen=True)
class Source:
    """A parsed source.

    Attributes:
        feature: name of the feature, for sentences.
        text: as declared: `user`, `item`, `user.age`, `item.genres`, `statistic.item_count`, `history`, `history.year`,
            `features`, `ids`.
        head: the part before the point.
        rest: the part after it, or empty: the id itself.
    """

    feature: str
    text: str
    head: str
    rest: str

    @classmethod
    def parse(cls, feature: str, text: str, heads: Iterable[str]) -> Source:
        """A source for a kind that reads `heads`.

        Raises:
            ConfigError: it reads no such source.
        """
        head, _, rest = text.partition(".")
        source = cls(feature, text, head, rest)
        heads = tuple(heads)
        if head not in heads or (rest and head in _WHOLE):
            known = [example for one in heads for example in _EXAMPLES[one]]
            raise source.error(f"is {text!r}, which this kind does not read{suggestion(text, known)}")
        if head == "statistic" and rest not in STATISTICS:
            known = [f"statistic.{name}" for name in STATISTICS]
            raise source.error(f"is {text!r}, which is unknown{suggestion(text, known)}")
        return source

    def error(self, complaint: str) -> ConfigError:
        """An error that names the binding."""
        return ConfigError(f"Schema.features[{self.feature!r}].source {complaint}")

    @property
    def side(self) -> Side | None:
        """The entities that have a value each; None where every row has one of its own."""
        return _SIDES[self.head]

    def reader(self, tables: Tables | None, moment: Moment | None) -> Reader:
        """To read it: all entities, and at the end one that is missing; or, of a statistic, the rows of a moment."""
        return Reader(self, tables, moment)


@dataclass(frozen=True)
class Reader:
    """One source, to be read in the form that a kind needs."""

    source: Source
    tables: Tables | None
    moment: Moment | None

    def labels(self) -> Labels:
        """Labels of all entities (and a missing one), or of the rows."""
        if self.moment is not None:
            return self._statistic(LABELS, "is a number; use kind 'bucketised' or 'numeric'")(self.moment)
        found = labels_of(self._column())
        missing = np.full((1, *found.codes.shape[1:]), -1, dtype=np.int64)
        return Labels(found.names, np.concatenate([found.codes, missing]))

    def numbers(self) -> Numbers:
        """Numbers of all entities (and a missing one), or of the rows."""
        if self.moment is not None:
            return self._statistic(NUMBERS, "is a label; use kind 'categorical' or 'multi_label'")(
                self.moment
            )
        column = self._column()
        try:
            numbers = pd.to_numeric(column).astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise self.source.error(
                f"is {self.source.text!r}, which holds values that are no numbers ({error}); use kind 'categorical' "
                "or 'multi_label'"
            ) from error
        return np.append(np.where(np.isfinite(numbers), numbers, np.nan), np.nan)

    def vectors(self) -> Vectors:
        """Item vectors and a missing one."""
        found = self._tables.features
        if found is None:
            raise self.source.error(
                "is 'features', but no item features were given; give Schema.fit some, or remove the entry"
            )
        missing = np.zeros((1, found.vectors.shape[1]), dtype=np.float32)
        return Vectors(np.concatenate([found.vectors, missing]), np.append(found.present, False))

    def codes(self) -> Codes:
        """Semantic ids and a missing one."""
        found = self._tables.ids
        if found is None:
            raise self.source.error(
                "is 'ids', but no semantic ids were given; give Schema.fit some, or remove the entry"
            )
        missing = np.full((1, found.n_levels), -1)
        return Codes(np.concatenate([found.codes, missing]).astype(np.int64), found.sizes)

    @property
    def _tables(self) -> Tables:
        assert self.tables is not None
        return self.tables

    def _column(self) -> pd.Series:
        table = self._tables.users if self.source.side == "user" else self._tables.items
        name = self.source.rest or table.id_column
        if name not in table.frame:
            known = [f"{self.source.head}.{column}" for column in table.frame.columns]
            raise self.source.error(
                f"is {self.source.text!r}, which is unknown{suggestion(self.source.text, known)}"
            )
        return table.frame[name].reset_index(drop=True)

    def _statistic(self, values: Mapping[str, T], complaint: str) -> T:
        if self.source.rest not in values:
            raise self.source.error(f"is {self.source.text!r}, which {complaint}")
        return values[self.source.rest]


_SIDES: Mapping[str, Side | None] = {
    "user": "user",
    "item": "item",
    "history": "item",  # values of the items in it
    "features": "item",
    "ids": "item",
    "statistic": None,
}
_WHOLE = ("features", "ids")  # sources without parts
_EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "user": ("user", "user.COLUMN"),
    "item": ("item", "item.COLUMN"),
    "history": ("history", "history.COLUMN"),
    "features": ("features",),
    "ids": ("ids",),
    "statistic": tuple(f"statistic.{name}" for name in STATISTICS),
}


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` where a known name is near, else all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; choose one of {', '.join(known)}"
