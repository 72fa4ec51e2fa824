"""A fitted schema: turns rows into batches, in training and at serving."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from genrec.data.tables import Interactions, ItemTable, UserTable
from genrec.errors import ArtifactError, ConfigError
from genrec.ranking.declaration import Feature
from genrec.ranking.encoders import Arrays, Encoder
from genrec.ranking.features import KINDS
from genrec.ranking.fields import Batch, Field, mask_name
from genrec.ranking.genres import ItemGenres
from genrec.ranking.label_features import ItemSequence
from genrec.ranking.rows import Rows
from genrec.ranking.sources import ItemVectors, Source, Tables
from genrec.ranking.statistics import Moment, Statistics
from genrec.tokenizer.semantic_ids import SemanticIds

VERSION = 1
GENRES = "statistic.user_genres"


class Declared(NamedTuple):
    """A feature with its name and its parsed source."""

    name: str
    kind: str
    feature: Feature[Any]
    source: Source

    @property
    def binding(self) -> str:
        """For sentences."""
        return f"Schema.features[{self.name!r}]"


@dataclass(frozen=True)
class Part:
    """A fitted feature.

    Attributes:
        arrays: the encoded values of all users, or of all items, and of an unknown one at the end; empty for a
            statistic, which is encoded row by row.
    """

    declared: Declared
    encoder: Encoder[Any]
    arrays: Arrays

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """Its fields."""
        return self.declared.feature.fields(self.declared.name, self.encoder)

    def rows(self, moment: Moment, places: Mapping[str, NDArray[np.int64]]) -> Arrays:
        """What the batch holds of it."""
        return _ROWS[self.declared.source.head](self, moment, places)


class FittedSchema:
    """What features learnt, the encoded tables, and a log of events.

    A batch of rows is made by lookups in the tables and the log, whatever the number of rows; there is no other
    code for serving. Fields and the JSON do not depend on the log, which may be replaced at any time (`with_log`).

    Attributes:
        parts: fitted features, as declared.
        log: the events that are looked up; only those strictly before a row's time count.
        n_users: of the user table; indices outside it are unknown users.
        n_items: of the catalogue, likewise.
    """

    def __init__(self, parts: tuple[Part, ...], log: Statistics, *, n_users: int, n_items: int) -> None:
        self.parts, self.log = parts, log
        self.n_users, self.n_items = n_users, n_items
        names = [field.name for field in self.fields]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(
                f"Schema.features makes two fields named {twice[0]!r}; give one of them another name"
            )

    @property
    def fields(self) -> tuple[Field, ...]:
        """Fields, in the order of declaration."""
        return tuple(field for part in self.parts for field in part.fields)

    def transform(self, rows: Rows) -> Batch:
        """The batch of R rows (see `genrec.ranking.fields.Batch`); nothing in it is NaN."""
        moment = self.log.at(rows.users, rows.items, rows.times)
        places = {"user": _places(rows.users, self.n_users), "item": _places(rows.items, self.n_items)}
        return {
            f"{part.declared.name}{ending}": torch.from_numpy(values)
            for part in self.parts
            for ending, values in part.rows(moment, places).items()
        }

    def with_log(self, events: Interactions) -> Self:
        """The same schema with other events to look up, for instance all that are known when serving.

        Users and items of the log are those of the tables; further ones may come after them.
        """
        return type(self)(
            self.parts, Statistics(events, self.log.genres), n_users=self.n_users, n_items=self.n_items
        )

    def with_tables(
        self,
        events: Interactions,
        items: ItemTable,
        users: UserTable,
        features: ItemVectors | None = None,
        ids: SemanticIds | None = None,
    ) -> Self:
        """The same schema for other tables: new items and users, whose ids are out of the vocabulary.

        What is known of them, genres or a semantic id, is read as that of any other.

        Raises:
            ConfigError: a source of the schema is missing.
        """
        tables = Tables(items, users, features, ids)
        parts = tuple(_encoded(part.declared, part.encoder, tables) for part in self.parts)
        log = log_of(events, [part.declared for part in self.parts], items)
        return type(self)(parts, log, n_users=len(users), n_items=len(items))

    def to_json(self) -> str:
        """Declarations and all that was learnt; the encoded tables are `arrays`."""
        features = {
            part.declared.name: {
                "kind": part.declared.kind,
                **asdict(part.declared.feature),
                "learnt": part.encoder.state(),
            }
            for part in self.parts
        }
        genres = None if self.log.genres is None else self.log.genres.names
        return json.dumps(
            {
                "version": VERSION,
                "users": self.n_users,
                "items": self.n_items,
                "genres": genres,
                "features": features,
            },
            indent=1,
            ensure_ascii=False,
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The encoded tables by name, for `from_json`."""
        found = {
            f"{part.declared.name}{ending}": values
            for part in self.parts
            for ending, values in part.arrays.items()
        }
        if self.log.genres is not None:
            found[GENRES] = self.log.genres.hot
        return found

    @classmethod
    def from_json(cls, text: str, arrays: Mapping[str, NDArray[Any]], log: Interactions) -> Self:
        """What `to_json` and `arrays` gave, with a log of events.

        Raises:
            ArtifactError: the text is none of this version's, or an array is missing.
        """
        saved = json.loads(text)
        if saved.get("version") != VERSION:
            raise ArtifactError(
                f"the feature schema has version {saved.get('version')}, this code reads {VERSION}; "
                "train the ranker again"
            )
        parts = tuple(_loaded(name, dict(one), arrays) for name, one in saved["features"].items())
        genres = None
        if saved["genres"] is not None:
            genres = ItemGenres(tuple(saved["genres"]), _array(arrays, GENRES))
        return cls(parts, Statistics(log, genres), n_users=saved["users"], n_items=saved["items"])


def log_of(events: Interactions, declared: Sequence[Declared], items: ItemTable) -> Statistics:
    """The log, with the genres of items where a feature needs them."""
    needed = any(one.source.text == GENRES for one in declared)
    return Statistics(events, ItemGenres.of(items) if needed else None)


def _encoded(declared: Declared, encoder: Encoder[Any], tables: Tables) -> Part:
    if declared.source.side is None:
        return Part(declared, encoder, {})
    return Part(
        declared, encoder, encoder.encode(declared.feature.read(declared.source.reader(tables, None)))
    )


def _loaded(name: str, saved: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Part:
    kind, learnt = saved.pop("kind"), saved.pop("learnt")
    feature = KINDS[kind](**saved)
    declared = Declared(name, kind, feature, Source.parse(name, feature.source, feature.heads))
    part = Part(declared, feature.encoder.of_state(learnt), {})
    if declared.source.side is None:
        return part
    return Part(
        declared, part.encoder, {ending: _array(arrays, f"{name}{ending}") for ending in part.encoder.endings}
    )


def _array(arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    if name not in arrays:
        raise ArtifactError(f"the feature schema lacks the table {name!r}; train the ranker again")
    return arrays[name]


def _places(entities: NDArray[np.integer], n: int) -> NDArray[np.int64]:
    """Row in an encoded table; n, its last, where the entity is unknown."""
    return np.where((entities >= 0) & (entities < n), entities, n).astype(np.int64)


def _of_entity(part: Part, moment: Moment, places: Mapping[str, NDArray[np.int64]]) -> Arrays:
    place = places[part.declared.source.side or ""]
    return {ending: values.take(place, axis=0) for ending, values in part.arrays.items()}


def _of_moment(part: Part, moment: Moment, places: Mapping[str, NDArray[np.int64]]) -> Arrays:
    values = part.declared.feature.read(part.declared.source.reader(None, moment))
    return part.encoder.encode(values)


def _of_history(part: Part, moment: Moment, places: Mapping[str, NDArray[np.int64]]) -> Arrays:
    feature = part.declared.feature
    assert isinstance(feature, ItemSequence)
    items = moment.history(feature.length)
    table = part.arrays[""]
    known = np.minimum(items, len(table) - 1)  # the last is that of no item, as -1 is
    return {"": table.take(known), mask_name(""): items >= 0}


_ROWS: Mapping[str, Callable[[Part, Moment, Mapping[str, NDArray[np.int64]]], Arrays]] = {
    "user": _of_entity,
    "item": _of_entity,
    "features": _of_entity,
    "ids": _of_entity,
    "history": _of_history,
    "statistic": _of_moment,
}
