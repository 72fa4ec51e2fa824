"""The canonical tables: what they refuse, and their small computations against plain loops."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.recommendations import Recommendations
from genrec.data.tables import Interactions, ItemTable, UserTable
from genrec.errors import DataError

pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=30)


def interactions(events: list[tuple[int, int]]) -> Interactions:
    users, items = (np.array([event[column] for event in events], np.int32) for column in (0, 1))
    return Interactions(users, items, 4, 6, timestamps=np.arange(len(events), dtype=np.int64))


@given(pairs)
def test_matrix_and_counts(events: list[tuple[int, int]]) -> None:
    table = interactions(events)
    matrix = table.matrix().toarray()
    assert matrix.shape == (4, 6)
    assert {(int(user), int(item)) for user, item in np.argwhere(matrix)} == set(events)
    assert set(np.unique(matrix)) <= {0.0, 1.0}  # repeated events count once here
    assert table.item_counts().tolist() == [sum(item == other for _, other in events) for item in range(6)]


@given(pairs, st.data())
def test_take_keeps_columns_together(events: list[tuple[int, int]], data: st.DataObject) -> None:
    table = interactions(events)
    rows = data.draw(st.lists(st.integers(0, len(events) - 1))) if events else []
    taken = table.take(np.array(rows, np.int64))
    assert list(zip(taken.users.tolist(), taken.items.tolist(), strict=True)) == [events[row] for row in rows]
    assert taken.timestamps is not None
    assert taken.timestamps.tolist() == rows
    assert (taken.n_users, taken.n_items, taken.ratings, taken.positions) == (4, 6, None, None)
    assert len(table.take(slice(1, 3))) == len(events[1:3])


@pytest.mark.parametrize("column", ["items", "ratings", "timestamps", "positions"])
def test_columns_of_different_lengths_are_refused(column: str) -> None:
    columns = {"users": np.zeros(2, np.int32), "items": np.zeros(2, np.int32), column: np.zeros(3)}
    with pytest.raises(DataError, match=f"column {column} has 3 rows"):
        Interactions(**columns, n_users=1, n_items=1)  # type: ignore[arg-type]


def test_ids_are_found_however_they_are_typed() -> None:
    items = ItemTable(pd.DataFrame({"item_id": [7, 42]}))
    assert [items.index_of(raw) for raw in (42, "42", 5, "x")] == [1, 1, None, None]
    users = UserTable(pd.DataFrame({"user_id": ["ann", "bob"]}))
    assert [users.index_of(raw) for raw in ("bob", "eve")] == [1, None]
    assert (len(users), users.ids.tolist()) == (2, ["ann", "bob"])


def test_ids_must_be_there_and_unique() -> None:
    with pytest.raises(DataError, match="item_id 7 occurs more than once"):
        ItemTable(pd.DataFrame({"item_id": [7, 8, 7]}))
    with pytest.raises(DataError, match="user_id column is missing; columns are"):
        UserTable(pd.DataFrame({"id": [1]}))


def test_recommendations_have_one_shape() -> None:
    users, items = np.zeros(2, np.int32), np.zeros((2, 3), np.int32)
    assert Recommendations(users, items, np.zeros((2, 3), np.float32)).k == 3
    with pytest.raises(ValueError, match="shapes differ"):
        Recommendations(users, items, np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match="shapes differ"):
        Recommendations(users[:1], items, np.zeros((2, 3), np.float32))
