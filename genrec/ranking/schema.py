"""The feature schema: declared once, fitted to training events, saved with the model.

    schema.Schema.features = {
        'user': {'kind': 'categorical', 'source': 'user', 'width': 16},
        'item': {'kind': 'categorical', 'source': 'item'},
        'genres': {'kind': 'multi_label', 'source': 'item.genres', 'pooling': 'mean'},
        'popularity': {'kind': 'numeric', 'source': 'statistic.item_count', 'transform': 'log'},
        'history': {'kind': 'sequence', 'source': 'history', 'length': 50, 'shares': 'item'},
    }

A feature more is one line more: here, or anywhere else as `schema.Schema.more = {'age': {...}}`. Kinds and their
keys are those of `genrec.ranking.features`.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping
from typing import Any, get_type_hints

import numpy as np
from pydantic import TypeAdapter, ValidationError

from genrec.data.tables import Interactions, ItemTable, UserTable
from genrec.errors import ConfigError
from genrec.ranking.declaration import Weights
from genrec.ranking.encoders import Encoder, Vocabulary
from genrec.ranking.features import KINDS
from genrec.ranking.fitted import Declared, FittedSchema, Part, log_of
from genrec.ranking.label_features import Categorical, ItemSequence
from genrec.ranking.rows import Rows
from genrec.ranking.sources import ItemVectors, Side, Source, Tables, suggestion
from genrec.ranking.statistics import Moment
from genrec.ranking.values import Labels
from genrec.tokenizer.semantic_ids import SemanticIds

_NAME = re.compile(r"[A-Za-z]\w*")


class Schema:
    """Declared features.

    Args:
        features: name -> declaration: `kind`, and the keys of that kind.
        more: further features, or other declarations of the same ones; None removes one.
        sample: training events that are looked at to learn the distribution of a statistic; drawn with a fixed seed.
    """

    def __init__(
        self,
        features: Mapping[str, Mapping[str, Any]],
        *,
        more: Mapping[str, Mapping[str, Any] | None] | None = None,
        sample: int = 1_000_000,
    ) -> None:
        if sample < 1:
            raise ConfigError(f"Schema.sample must be at least 1, got {sample}")
        self.sample = sample
        declared = {**features, **(more or {})}
        self.declared = tuple(_declared(name, given) for name, given in declared.items() if given is not None)
        if not self.declared:
            raise ConfigError("Schema.features is empty; declare at least one feature")
        by_name = {one.name: one for one in self.declared}
        for one in self.declared:
            _check_owner(one, by_name)

    def fit(
        self,
        train: Interactions,
        items: ItemTable,
        users: UserTable,
        features: ItemVectors | None = None,
        ids: SemanticIds | None = None,
    ) -> FittedSchema:
        """Learn vocabularies, intervals and scales from training events, which become the log that is looked up.

        Args:
            train: the only events that are learnt from.
            items: the catalogue.
            users: user table.
            features: item vectors, for `embedding`.
            ids: for `semantic_id`.

        Raises:
            ConfigError: a declaration does not fit the tables.
        """
        tables = Tables(items, users, features, ids)
        log = log_of(train, self.declared, items)
        rows = Rows.of(train)
        if len(rows) > self.sample:
            drawn = np.random.default_rng(0).choice(len(rows), self.sample, replace=False)
            rows = rows.take(np.sort(drawn))
        learner = _Learner(train, tables, log.at(rows.users, rows.items, rows.times))
        for one in sorted(self.declared, key=lambda one: one.feature.owner is not None):  # owners first
            learner.learn(one)
        parts = tuple(learner.parts[one.name] for one in self.declared)
        return FittedSchema(parts, log, n_users=len(users), n_items=len(items))


class _Learner:
    """Fits one feature after the other."""

    def __init__(self, train: Interactions, tables: Tables, moment: Moment) -> None:
        self.tables, self.moment = tables, moment
        self.weights: dict[Side | None, Weights] = {
            "user": np.append(np.bincount(train.users, minlength=len(tables.users)), 0),
            "item": np.append(np.bincount(train.items, minlength=len(tables.items)), 0),
            None: np.ones(len(moment.times), dtype=np.int64),
        }
        self.parts: dict[str, Part] = {}

    def learn(self, one: Declared) -> None:
        """Learn the encoder of a feature, or take that of its owner, and encode all entities."""
        feature, source, side = one.feature, one.source, one.source.side
        values = feature.read(source.reader(self.tables, None if side else self.moment))
        owner = feature.owner
        if owner is None:
            encoder = feature.learn(values, self.weights[side], one.binding)
        else:
            encoder = self._borrowed(one, owner, values, self.weights[side])
        self.parts[one.name] = Part(one, encoder, encoder.encode(values) if side else {})

    def _borrowed(self, one: Declared, owner: str, values: Labels, weights: Weights) -> Encoder[Any]:
        learnt = self.parts[owner].encoder
        assert isinstance(learnt, Vocabulary)
        assert isinstance(one.feature, Categorical)
        met = values.counts(weights) > 0
        known = set(learnt.vocabulary)
        if met.any() and not any(name in known for name, seen in zip(values.names, met, strict=True) if seen):
            raise ConfigError(
                f"{one.binding}.shares is {owner!r}, but none of the labels of {one.source.text!r} is known to it; "
                "share a feature of the same labels, or remove the key"
            )
        return one.feature.borrow(learnt)


def _declared(name: str, given: Mapping[str, Any]) -> Declared:
    """A declaration, checked key by key."""
    binding = f"Schema.features[{name!r}]"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f"{binding} needs another name: letters, digits and _, a letter first")
    if not isinstance(given, Mapping) or "kind" not in given:
        raise ConfigError(f"{binding} needs a kind: one of {', '.join(KINDS)}")
    kind = given["kind"]
    if kind not in KINDS:
        raise ConfigError(f"{binding}.kind is {kind!r}, which is unknown{suggestion(str(kind), KINDS)}")
    keys = {key: value for key, value in given.items() if key != "kind"}
    hints = get_type_hints(KINDS[kind])
    known = [field.name for field in dataclasses.fields(KINDS[kind])]
    for key, value in keys.items():
        if key not in known:
            raise ConfigError(f"{binding}.{key} is unknown for kind {kind!r}{suggestion(str(key), known)}")
        _check_type(f"{binding}.{key}", value, hints[key])
    required = [
        field.name for field in dataclasses.fields(KINDS[kind]) if field.default is dataclasses.MISSING
    ]
    missing = [key for key in required if key not in keys]
    if missing:
        raise ConfigError(f"{binding}.{missing[0]} is missing; kind {kind!r} needs it")
    feature = KINDS[kind](**keys)
    feature.check(binding)
    return Declared(name, kind, feature, Source.parse(name, feature.source, feature.heads))


def _check_type(where: str, value: object, hint: Any) -> None:
    try:
        TypeAdapter(hint).validate_python(value, strict=True)
    except ValidationError as error:
        expected = inspect.formatannotation(hint)
        raise ConfigError(f"{where} is {value!r}; expected {expected}") from error


def _check_owner(one: Declared, by_name: Mapping[str, Declared]) -> None:
    """That what a feature shares is there, has a vocabulary of its own, and means the same."""
    owner = one.feature.owner
    if owner is None:
        return
    known = [
        name
        for name, other in by_name.items()
        if isinstance(other.feature, Categorical)
        and not isinstance(other.feature, ItemSequence)
        and other.feature.owner is None
    ]
    where = f"{one.binding}.shares is {owner!r}"
    if owner not in known:
        raise ConfigError(
            f"{where}, which is no feature with a vocabulary of its own{suggestion(owner, known) if known else ''}"
        )
    if one.source.head == "history":
        wanted = ".".join(filter(None, ("item", one.source.rest)))
        if by_name[owner].source.text != wanted:
            raise ConfigError(
                f"{where}, whose source is {by_name[owner].source.text!r}; {one.source.text!r} can only share a "
                f"feature of source {wanted!r}"
            )
