"""Texts from a file in place of the item table's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import DataError
from genrec.features.described import Described, TextFile
from genrec.features.text import TfIdf


def write(path: Path, ids: list[Any], texts: list[Any]) -> str:
    pd.DataFrame({"item_id": ids, "text": texts}).to_parquet(path)
    return str(path)


def test_texts_go_to_their_items_by_id(items: ItemTable, train: Interactions, tmp_path: Path) -> None:
    path = write(
        tmp_path / "plots.parquet", [80, 999, 10, 20, 30], ["rabbits", "nobody", " a cowboy ", None, ""]
    )
    source = TextFile(path)
    assert source.texts(items) == ["a cowboy", *[""] * 6, "rabbits"]
    features = Described(TfIdf(2, fields=["text"]), source).encode(items, train)
    np.testing.assert_array_equal(features.present, [1, 0, 0, 0, 0, 0, 0, 1])
    assert features.encoder.endswith(" on TextFile(plots.parquet)")


def test_ids_may_be_text(tmp_path: Path) -> None:
    items = ItemTable(pd.DataFrame({"item_id": ["b", "a"], "title": ["B", "A"]}))
    assert TextFile(write(tmp_path / "t.parquet", ["a", "b"], ["x", "y"])).texts(items) == ["y", "x"]


@pytest.mark.parametrize(
    ("ids", "texts", "sentence"),
    [
        ([10, 10], ["a", "b"], "item_id 10 occurs more than once"),
        ([11, 21], ["a", "b"], "describes none of the 8 items"),
        (["10", "20"], ["a", "b"], "describes none of the 8 items"),
        ([10, 20], [None, " "], "describes none of the 8 items"),
        ([10, 20], [1, 2], "the column text holds int64; strings are due"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    items: ItemTable, tmp_path: Path, ids: list[Any], texts: list[Any], sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        TextFile(write(tmp_path / "t.parquet", ids, texts)).texts(items)


def test_a_file_that_is_no_such_table_is_refused(items: ItemTable, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="do not exist; write a Parquet file with item_id and text"):
        TextFile(str(tmp_path / "none.parquet")).texts(items)
    (tmp_path / "t.parquet").write_bytes(b"item_id,text\n1,a\n")
    with pytest.raises(DataError, match="is no Parquet file"):
        TextFile(str(tmp_path / "t.parquet")).texts(items)
    pd.DataFrame({"movieId": [1]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"has the columns \['movieId'\]"):
        TextFile(str(tmp_path / "t.parquet")).texts(items)
