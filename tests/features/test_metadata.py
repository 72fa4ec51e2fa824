from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError, DataError
from genrec.features.columns import digest, documents, titles
from genrec.features.metadata import Genres, Metadata, TitleTokens, Year


def test_genres_are_multi_hot_in_sorted_order_with_a_column_for_none(
    items: ItemTable, train: Interactions
) -> None:
    features = Genres().encode(items, train)
    #         Action Animation Comedy Crime Romance Sci-Fi none
    expected = [
        [0, 1, 1, 0, 0, 0, 0],
        [1, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 1, 0],
        [0, 0, 1, 0, 1, 0, 0],
        [1, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 1, 0],
        [0, 1, 1, 0, 0, 1, 0],
    ]
    np.testing.assert_array_equal(features.vectors, expected)
    assert features.present.all()
    assert features.vectors.dtype == np.float32


def test_no_column_for_none_where_every_item_has_a_genre(items: ItemTable, train: Interactions) -> None:
    some = ItemTable(items.frame[items.frame["genres"].str.len() > 0])
    assert Genres().encode(some, train).width == 6


def test_genres_may_be_arrays_or_missing_as_parquet_returns_them(train: Interactions) -> None:
    genres = [np.array(["b", "a"], dtype=object), None, np.array([], dtype=object)]
    table = ItemTable(pd.DataFrame({"item_id": [1, 2, 3], "genres": genres}))
    np.testing.assert_array_equal(Genres().encode(table, train).vectors, [[1, 1, 0], [0, 0, 1], [0, 0, 1]])


def test_year_is_scaled_over_known_years(items: ItemTable, train: Interactions) -> None:
    features = Year().encode(items, train)
    np.testing.assert_array_equal(features.present, [1, 1, 1, 1, 0, 0, 1, 1])
    np.testing.assert_array_equal(features.vectors[:, 1], features.present)
    known = features.vectors[features.present, 0]
    assert known.mean() == pytest.approx(0, abs=1e-6)
    assert known.std() == pytest.approx(1, abs=1e-6)
    assert known.argmax() == 3
    assert not features.vectors[~features.present].any()


def test_no_year_at_all_is_no_error(items: ItemTable, train: Interactions) -> None:
    items.frame["year"] = pd.array([None] * 8, dtype="Int64")
    assert not Year().encode(items, train).present.any()


def test_title_tokens_ignore_the_year_and_other_items(items: ItemTable, train: Interactions) -> None:
    features = TitleTokens(64).encode(items, train)
    np.testing.assert_array_equal(features.present, [t != "" for t in items.frame["title"]])
    np.testing.assert_allclose(np.linalg.norm(features.vectors[features.present], axis=1), 1, rtol=1e-6)
    assert features.vectors[1] @ features.vectors[4] > 0.3  # Heat, Heat Wave
    alone = TitleTokens(64).encode(ItemTable(items.frame.iloc[[4]]), train)
    np.testing.assert_array_equal(alone.vectors[0], features.vectors[4])
    assert titles(items)[0] == "Toy Story"


def test_metadata_is_its_parts_side_by_side(items: ItemTable, train: Interactions) -> None:
    features = Metadata(title_width=16).encode(items, train)
    assert features.modality == "metadata"
    assert [width for _, width in features.parts] == [7, 2, 16]
    assert features.present.all()
    assert Metadata(year=False).encode(items, train).width == 7


def test_a_document_joins_the_fields_that_are_there(items: ItemTable) -> None:
    found = documents(items)
    assert found[0] == "Toy Story. 1995. Animation, Comedy. A cowboy doll meets a space ranger."
    assert found[4] == "Heat Wave. Action"
    assert found[5] == ""
    assert documents(items, ["text", "title"])[6] == "A planet.. Solaris"


def test_a_missing_column_is_named(items: ItemTable, train: Interactions) -> None:
    bare = ItemTable(items.frame[["item_id", "title"]])
    with pytest.raises(DataError, match="column genres is missing"):
        Genres().encode(bare, train)


def test_digest_knows_where_texts_end() -> None:
    assert digest(["ab", "c"]) != digest(["a", "bc"])
    assert digest(["ab", "c"]) == digest(["ab", "c"])


def test_widths_are_validated() -> None:
    with pytest.raises(ConfigError, match=r"TitleTokens\.width"):
        TitleTokens(0)
    with pytest.raises(ConfigError, match=r"Metadata\.title_width"):
        Metadata(title_width=-1)
