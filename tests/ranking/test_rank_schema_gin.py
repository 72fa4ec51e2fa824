"""The schema as users declare it: the shipped gin file, one line more, and sentences for what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import gin
import numpy as np
import pytest

from genrec import config
from genrec.data.tables import Dataset
from genrec.ranking.fitted import FittedSchema
from genrec.ranking.inputs import InputLayer
from genrec.ranking.rows import Rows
from genrec.ranking.schema import Schema

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = "configs/rank/features.gin"
LINE = "    'age': {'kind': 'bucketised', 'source': 'user.age', 'bins': 5},\n"
Run = Callable[..., FittedSchema]


declared: list[Schema] = []


def train(*, schema: Schema) -> None:
    """An entry function, as scripts have one."""
    declared.append(schema)


@pytest.fixture(autouse=True)
def _clean_gin() -> Iterator[None]:
    yield
    gin.clear_config()


@pytest.fixture
def run(ml100k: Dataset, tmp_path: Path) -> Run:
    """Fit the schema that gin files declare."""

    def run(text: str, *bindings: str) -> FittedSchema:
        leaf = tmp_path / "leaf.gin"
        leaf.write_text(f"{text}\ntrain.schema = @schema.Schema()\n", "utf-8")
        flags = [part for binding in bindings for part in ("--gin", binding)]
        code = config.main(train, description="Fits.", argv=[str(leaf), *flags])
        assert code == 0
        return declared[-1].fit(ml100k.interactions, ml100k.items, ml100k.users)

    return run


def test_the_shipped_features_fit_movielens(run: Run, ml100k: Dataset) -> None:
    schema = run(f"include '{SHIPPED}'")
    some = Rows.of(ml100k.interactions).take(np.arange(0, len(ml100k.interactions), 500))
    layer = InputLayer(schema, 4)
    assert layer.fields(schema.transform(some)).shape == (len(some), len(schema.fields), 4)
    history, mask, target = layer.sequence(schema.transform(some))
    assert (history.shape, mask.shape, target.shape) == ((len(some), 50, 4), (len(some), 50), (len(some), 4))


def test_a_feature_more_is_one_line_more_in_the_file(run: Run) -> None:
    shipped = (ROOT / SHIPPED).read_text("utf-8")
    before = run(shipped)
    after = run(shipped.replace("features = {\n", f"features = {{\n{LINE}"))
    assert {field.name for field in after.fields} - {field.name for field in before.fields} == {"age"}
    assert InputLayer(after, 4).n_fields == len(before.fields) + 1


def test_or_one_binding_on_the_command_line(run: Run) -> None:
    schema = run(f"include '{SHIPPED}'", f"schema.Schema.more = {{{LINE.strip()}}}")
    assert schema.fields[-1].name == "age"
    assert schema.fields[-1].size == 6


def test_what_is_wrong_is_one_sentence_with_its_binding(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError):
        run(
            f"include '{SHIPPED}'",
            "schema.Schema.more = {'year': {'kind': 'bucketised', 'source': 'item.year', 'bin': 5}}",
        )
    assert capsys.readouterr().err == (
        "error: Schema.features['year'].bin is unknown for kind 'bucketised'; did you mean 'bins'?\n"
    )
