"""A schema in an artifact: complete, and checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_log import FEATURES, N_ITEMS, N_USERS, Posters, ids, items, log, rows, users

from genrec.artifacts import read_manifest, save_artifact
from genrec.errors import ArtifactError
from genrec.ranking.schema import Schema
from genrec.ranking.schema_store import load_schema, schema_payload

TRAIN = [(0, 0, 5.0, 3600), (0, 1, float("nan"), 7200), (1, 1, 4.0, 90000)]


@pytest.mark.parametrize(("rated", "timed"), [(True, True), (False, True), (True, False)])
def test_a_stored_schema_serves_the_same_batches(tmp_path: Path, rated: bool, timed: bool) -> None:
    schema = Schema(FEATURES).fit(log(TRAIN, rated, timed), items(), users(), Posters(), ids())
    save_artifact(tmp_path, kind="ranker", payload=schema_payload(schema), config="")
    again = load_schema(tmp_path, read_manifest(tmp_path, "ranker"))
    asked = rows([(user, item, 95000) for user in range(N_USERS) for item in range(-1, N_ITEMS)])
    first, second = schema.transform(asked), again.transform(asked)
    assert list(first) == list(second)
    for name in first:
        np.testing.assert_array_equal(first[name].numpy(), second[name].numpy(), err_msg=name)
    assert again.fields == schema.fields
    assert (again.log.events.n_users, again.log.events.n_items) == (N_USERS, N_ITEMS)


def test_a_damaged_one_is_refused(tmp_path: Path) -> None:
    schema = Schema(FEATURES).fit(log(TRAIN), items(), users(), Posters(), ids())
    save_artifact(tmp_path, kind="ranker", payload=schema_payload(schema), config="")
    next(tmp_path.glob("schema-*.json")).write_text("{}", "utf-8")
    with pytest.raises(ArtifactError, match="was changed or damaged"):
        load_schema(tmp_path, read_manifest(tmp_path, "ranker"))
