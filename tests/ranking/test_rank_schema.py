"""The schema: what is learnt, from training alone; what a batch holds; what is saved."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_log import (
    EVENTS,
    FEATURES,
    N_ITEMS,
    N_USERS,
    ROWS,
    TIMES,
    Event,
    Posters,
    ids,
    items,
    log,
    rows,
    users,
)

from genrec.errors import ArtifactError, ConfigError, DataError
from genrec.ranking.features import KINDS
from genrec.ranking.fields import Batch
from genrec.ranking.fitted import FittedSchema
from genrec.ranking.rows import Rows
from genrec.ranking.schema import Schema

TRAIN: list[Event] = [
    (0, 0, 5.0, 3600),
    (0, 1, 3.0, 7200),
    (1, 1, 4.0, 90000),
    (1, 2, 2.0, 90060),
    (2, 0, 1.0, 180000),
    (2, 3, 4.5, 200000),
]
"""User 3 and items 4 and 5 occur in no training event."""


@cache
def everything() -> FittedSchema:
    """Every kind of feature, fitted once."""
    return fitted()


def fitted(features: dict[str, Any] | None = None, train: list[Event] | None = None) -> FittedSchema:
    return Schema(features or FEATURES).fit(
        log(TRAIN if train is None else train), items(), users(), Posters(), ids()
    )


def one(feature: dict[str, Any], *asked: tuple[int, int, int]) -> torch.Tensor:
    return fitted({"it": feature}).transform(rows(asked))["it"]


def same(one: Batch, other: Batch) -> None:
    assert list(one) == list(other)
    for name in one:
        np.testing.assert_array_equal(one[name].numpy(), other[name].numpy(), err_msg=name)


def test_vocabularies_are_those_of_training_events() -> None:
    schema = fitted()
    batch = schema.transform(
        rows([(0, 0, 0), (1, 1, 0), (2, 2, 0), (3, 3, 0), (-1, 4, 0), (99, 5, 0), (0, -1, 0)])
    )
    assert batch["user"].tolist() == [1, 2, 3, 0, 0, 0, 1]
    assert batch["item"].tolist() == [1, 2, 3, 4, 0, 0, 0]
    # Comedy 1, Drama 2, War 3; Action occurs with an item that nobody has had
    assert batch["genres"].tolist() == [
        [2, 0, 0],
        [1, 2, 0],
        [3, 0, 0],
        [1, 0, 0],
        [0, 3, 2],
        [0, 0, 0],
        [0, 0, 0],
    ]
    assert batch["genres.mask"].sum(1).tolist() == [1, 2, 1, 1, 3, 0, 0]
    assert [field.size for field in schema.fields[:3]] == [4, 5, 4]


def test_a_label_needs_its_number_of_events() -> None:
    feature = {"kind": "categorical", "source": "item", "min_count": 2}
    assert one(feature, *((0, item, 0) for item in range(4))).tolist() == [1, 2, 0, 0]


def test_values_of_the_moment() -> None:
    batch = everything().transform(rows([(0, 1, 90000), (0, 1, 90001), (2, 4, 190000), (3, 0, 0)]))
    assert batch["history"].tolist() == [[1, 2, 0, 0], [1, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert batch["history.mask"].sum(1).tolist() == [2, 2, 1, 0]
    assert batch["past_years"][0].tolist() == [1, 2]  # 1990, 1991
    assert batch["user_genres"].tolist() == [[2, 1, 0], [2, 1, 0], [2, 0, 0], [0, 0, 0]]
    assert batch["hour"].tolist() == [1, 1, 0, 0]  # one in the morning; nobody came at four, or at midnight
    assert batch["popularity"][:, 1].tolist() == [1, 1, 1, 1]
    assert batch["popularity"][1, 0] > batch["popularity"][0, 0]  # its second event is past now
    assert batch["item_mean"][:, 1].tolist() == [1, 1, 0, 0]
    assert batch["item_mean"][2:, 0].tolist() == [0, 0]


def test_numbers_are_standardised_by_training_events() -> None:
    values = one(
        {"kind": "numeric", "source": "item.year"}, *((0, item, 0) for _, item, _, _ in TRAIN), (0, 5, 0)
    )
    np.testing.assert_allclose(values[:-1, 0].mean(), 0.0, atol=1e-6)
    np.testing.assert_allclose(values[:-1, 0].std(correction=0), 1.0, atol=1e-6)
    assert values[-1].tolist() == [0.0, 0.0]
    far = one({"kind": "numeric", "source": "statistic.user_recency"}, (0, 0, 10**15))
    assert far.tolist() == [[10.0, 1.0]]
    constant = {"it": {"kind": "numeric", "source": "statistic.item_mean"}}
    assert fitted(constant, []).transform(rows([(0, 0, 5)]))["it"].tolist() == [[0.0, 0.0]]


def test_bins_hold_equally_many_training_events() -> None:
    feature = {"kind": "bucketised", "source": "item.year", "bins": 2}
    # years of the events: 1990 1991 1991 1992 1990 1993
    assert one(feature, *((0, item, 0) for item in range(6))).tolist() == [1, 2, 2, 2, 2, 0]
    assert one({**feature, "bins": 50}, *((0, item, 0) for item in range(4))).tolist() == [1, 2, 3, 4]
    edges = {"kind": "bucketised", "source": "user.age", "edges": [25, 30.0]}
    assert one(edges, *((user, 0, 0) for user in range(4))).tolist() == [1, 3, 3, 0]
    nothing = fitted({"it": {"kind": "bucketised", "source": "statistic.item_mean", "bins": 4}}, [])
    assert nothing.transform(rows([(0, 0, 5)]))["it"].tolist() == [0]
    assert nothing.fields[0].size == 2


def test_semantic_ids_are_one_id_per_level() -> None:
    schema = fitted({"code": {"kind": "semantic_id", "depth": 2}})
    batch = schema.transform(rows([(0, item, 0) for item in range(6)] + [(0, -1, 0)]))
    assert batch["code_1"].tolist() == [1, 1, 1, 2, 2, 2, 0]
    assert batch["code_2"].tolist() == [1, 1, 2, 3, 0, 0, 0]  # <1, 1> was not met
    assert [(field.name, field.size) for field in schema.fields] == [("code_1", 3), ("code_2", 4)]
    level = fitted({"code": {"kind": "semantic_id", "depth": 2, "by": "level"}})
    assert level.transform(rows([(0, item, 0) for item in range(6)]))["code_2"].tolist() == [1, 1, 2, 1, 2, 2]


def test_vectors_come_with_their_presence() -> None:
    values = one({"kind": "embedding"}, *((0, item, 0) for item in (0, 1, 3, -1)))
    assert values.shape == (4, 4)
    assert values[:, -1].tolist() == [1, 0, 1, 0]
    assert not values[1].any()
    np.testing.assert_allclose(values[0, :3] / values[2, 0], [1, 2, 3], rtol=1e-6)
    met = Posters.vectors[[0, 2, 3]]
    np.testing.assert_allclose(values[2, 0], 1 / np.sqrt((met**2).mean()), rtol=1e-6)


@settings(max_examples=25)
@given(EVENTS, EVENTS, ROWS)
def test_no_batch_holds_nan_and_every_id_is_within_its_table(
    train: list[Event], later: list[Event], asked: list[tuple[int, int, int]]
) -> None:
    schema = fitted(train=train).with_log(log(later))
    batch = schema.transform(rows(asked))
    for field in schema.fields:
        column = batch[field.name]
        assert len(column) == len(asked)
        if field.form == "dense":
            assert column.dtype == torch.float32
            assert column.shape[1] == field.size
            assert torch.isfinite(column).all()
        else:
            assert column.dtype == torch.int64
            assert ((column >= 0) & (column < field.size)).all()


@settings(max_examples=40)
@given(EVENTS, EVENTS, EVENTS, TIMES, ROWS)
def test_no_feature_changes_with_what_happens_at_or_after_its_time(
    past: list[Event], future: list[Event], other: list[Event], time: int, asked: list[tuple[int, int, int]]
) -> None:
    past = [one for one in past if one[3] < time]
    schema = everything()
    until = rows([(user, item, min(at, time)) for user, item, at in asked])
    first, second = (
        schema.with_log(log([(*one[:3], time + max(one[3], 0)) for one in later] + past)).transform(until)
        for later in (future, other)
    )
    same(first, second)


@settings(max_examples=25)
@given(EVENTS, st.integers(0, 24))
def test_a_training_row_is_served_as_it_was_learnt(events: list[Event], place: int) -> None:
    if not events:
        return
    row = Rows.of(log(events)).take(slice(place % len(events), place % len(events) + 1))
    schema = fitted(train=events)
    learnt = schema.transform(Rows.of(log(events)).take(np.array([place % len(events)])))
    before = [one for one in events if one[3] < row.times[0]]
    same(learnt, schema.with_log(log(before)).transform(row))


def test_a_saved_schema_makes_the_same_batches() -> None:
    schema = fitted()
    asked = rows([(user, item, 95000) for user in range(-1, N_USERS + 1) for item in range(-1, N_ITEMS + 1)])
    text = schema.to_json()
    again = FittedSchema.from_json(text, schema.arrays(), log(TRAIN))
    same(schema.transform(asked), again.transform(asked))
    assert again.fields == schema.fields
    assert again.to_json() == text
    with pytest.raises(ArtifactError, match="lacks the table 'user'"):
        FittedSchema.from_json(text, {}, log(TRAIN))
    with pytest.raises(ArtifactError, match="has version 0"):
        FittedSchema.from_json(json.dumps({**json.loads(text), "version": 0}), schema.arrays(), log(TRAIN))


def test_other_tables_are_read_by_the_same_vocabulary() -> None:
    schema = fitted()
    asked = rows([(user, item, 95000) for user in range(N_USERS) for item in range(N_ITEMS)])
    again = schema.with_tables(log(TRAIN), items(), users(), Posters(), ids())
    same(schema.transform(asked), again.transform(asked))
    frame = items().frame
    frame.loc[5, "genres"] = ["War"]
    changed = schema.with_tables(log(TRAIN), type(items())(frame), users(), Posters(), ids())
    assert changed.transform(rows([(0, 5, 0)]))["genres"].tolist() == [[3, 0, 0]]


def test_items_that_come_after_the_tables_are_unknown_but_counted() -> None:
    events = log([*TRAIN, (3, 0, 1.0, 1), (3, 5, 2.0, 2)])
    events.items[-1] = 50
    bigger = type(events)(events.users, events.items, N_USERS, 51, events.ratings, events.timestamps)
    batch = fitted().with_log(bigger).transform(rows([(3, 50, 3)]))
    assert batch["history"].tolist() == [[1, 0, 0, 0]]
    assert batch["history.mask"].sum() == 2
    assert batch["item"].tolist() == [0]
    assert batch["item_mean"][0, 1] == 1


def test_more_adds_replaces_and_removes() -> None:
    more = {
        "user": None,
        "item": {"kind": "categorical", "source": "item", "width": 5},
        "sex": {"kind": "categorical", "source": "user.sex"},
    }
    features = {name: FEATURES[name] for name in ("user", "item", "genres")}
    schema = Schema(features, more=more).fit(log(TRAIN), items(), users())
    assert [(field.name, field.width) for field in schema.fields] == [
        ("item", 5),
        ("genres", None),
        ("sex", None),
    ]
    assert schema.transform(rows([(0, 0, 0), (1, 0, 0), (3, 0, 0)]))["sex"].tolist() == [1, 2, 0]


def test_a_sample_of_events_is_enough_for_the_distribution_of_statistics() -> None:
    features = {"it": {"kind": "numeric", "source": "statistic.user_count"}}
    events = [(0, place % 5, 3.0, place) for place in range(400)]
    whole, part = (
        Schema(features, sample=sample).fit(log(events), items(), users()).parts[0].encoder
        for sample in (400, 100)
    )
    assert whole != part
    assert abs(whole.state()["mean"] - part.state()["mean"]) < 60


YEAR = {"kind": "bucketised", "source": "item.year"}
LABEL, NUMBER = {"kind": "categorical"}, {"kind": "numeric"}
ITEM = {"item": FEATURES["item"]}
WRONG = {
    "no kind": ({"it": {"source": "user"}}, r"Schema.features\['it'\] needs a kind"),
    "kind": ({"it": {"kind": "categoric"}}, r"\['it'\].kind is 'categoric', .*did you mean 'categorical'\?"),
    "key": ({"it": {"kind": "sequence", "lenght": 3}}, r"\['it'\].lenght is unknown .*did you mean 'length'\?"),
    "type": ({"year": {**YEAR, "bins": "ten"}}, r"\['year'\].bins is 'ten'; expected int"),
    "bool": ({"it": {"kind": "sequence", "length": True}}, r"\.length is True; expected int"),
    "choice": ({"it": {**NUMBER, "source": "user", "transform": "ln"}}, r"\.transform is 'ln'; expected .*'log'"),
    "missing": ({"it": {"kind": "numeric"}}, r"\['it'\].source is missing; kind 'numeric' needs it"),
    "name": ({"it.is": {"kind": "embedding"}}, r"\['it.is'\] needs another name"),
    "head": ({"it": {**NUMBER, "source": "histroy"}}, r"\.source is 'histroy', which this kind does not read"),
    "whole": ({"it": {"kind": "embedding", "source": "features.x"}}, r"\.source is 'features.x'"),
    "statistic": ({"it": {**NUMBER, "source": "statistic.item_cuont"}}, r"did you mean 'statistic.item_count'\?"),
    "column": ({"it": {**LABEL, "source": "item.genre"}}, r"did you mean 'item.genres'\?"),
    "text": ({"it": {**NUMBER, "source": "item.title"}}, r"'item.title', which holds values that are no numbers"),
    "label": ({"it": {**NUMBER, "source": "statistic.hour"}}, r"is a label; use kind 'categorical'"),
    "number": ({"it": {**LABEL, "source": "statistic.item_count"}}, r"is a number; use kind 'bucketised'"),
    "lists": ({"it": {**LABEL, "source": "item.genres"}}, r"whose values are lists; .*kind 'multi_label'"),
    "lists in a history": (
        {"it": {"kind": "sequence", "source": "history.genres"}},
        "whose values are lists; use a column with one label each",
    ),
    "width": ({"it": {**LABEL, "source": "user", "width": 0}}, r"\.width must be at least 1, got 0"),
    "bins": ({"it": {**YEAR, "bins": 1}}, r"\.bins must be at least 2"),
    "both": ({"it": {**YEAR}}, r"needs bins, a number of quantiles, or edges"),
    "edges": ({"it": {**YEAR, "edges": [2.0, 1.0]}}, r"\.edges must be numbers in"),
    "depth": ({"it": {"kind": "semantic_id", "depth": 4}}, r"\.depth is 4, but the semantic ids have 3 levels"),
    "empty": ({"it": None}, "Schema.features is empty"),
    "owner": ({"it": {"kind": "sequence", "shares": "itm"}, **ITEM}, r"\.shares is 'itm', .*did you mean 'item'"),
    "chain": (
        {"a": {**LABEL, "source": "item"}, "b": {**LABEL, "source": "item", "shares": "a"},
         "c": {**LABEL, "source": "item", "shares": "b"}},
        r"\['c'\].shares is 'b', which is no feature with a vocabulary of its own",
    ),
    "strangers": (
        {"user": FEATURES["user"], "it": {"kind": "multi_label", "source": "item.genres", "shares": "user"}},
        r"none of the labels of 'item.genres' is known to it",
    ),
    "history": (
        {**ITEM, "it": {"kind": "sequence", "source": "history.year", "shares": "item"}},
        r"can only share a feature of source 'item.year'",
    ),
    "shared width": ({**ITEM, "it": {"kind": "sequence", "shares": "item", "width": 3}}, "declare width"),
    "twice": (
        {"code": {"kind": "semantic_id"}, "code_1": {**LABEL, "source": "user"}},
        "two fields named 'code_1'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_declared_wrongly_is_told_with_its_binding(case: str) -> None:
    features, sentence = WRONG[case]
    features = dict(features)
    removed = {name: None for name, given in features.items() if given is None}
    with pytest.raises(ConfigError, match=sentence):
        Schema({name: given for name, given in features.items() if given}, more=removed).fit(
            log(TRAIN), items(), users(), Posters(), ids()
        )


@pytest.mark.parametrize("kind", ["embedding", "semantic_id"])
def test_what_was_not_given_is_told(kind: str) -> None:
    with pytest.raises(
        ConfigError, match=r"Schema.features\['it'\].source is .* were given; give Schema.fit some"
    ):
        Schema({"it": {"kind": kind}}).fit(log(TRAIN), items(), users())


def test_tables_of_another_catalogue_are_refused() -> None:
    class Fewer:
        vectors = Posters.vectors[:3]
        present = Posters.present[:3]

    with pytest.raises(DataError, match="features of 3 items for a catalogue of 6"):
        Schema({"it": {"kind": "embedding"}}).fit(log(TRAIN), items(), users(), Fewer())
    plain = type(items())(items().frame.drop(columns="genres"))
    with pytest.raises(DataError, match="needs a column genres"):
        Schema({"it": {"kind": "multi_label", "source": "statistic.user_genres"}}).fit(
            log(TRAIN), plain, users()
        )


def test_every_kind_is_tried_here() -> None:
    assert {given["kind"] for given in FEATURES.values()} == set(KINDS)
