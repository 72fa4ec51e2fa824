"""Rows: their columns fit, and joining or picking keeps them together."""

from __future__ import annotations

import numpy as np
import pytest
import small_log

from genrec.data.tables import NO_TIMESTAMP
from genrec.errors import DataError
from genrec.ranking.rows import Rows


def column(*values: float, dtype: type = np.float32) -> np.ndarray:
    return np.array(values, dtype=dtype)


def labelled(n: int) -> Rows:
    base = small_log.rows([(0, place, 5) for place in range(n)])
    return Rows(base.users, base.items, base.times, np.ones(n, dtype=np.float32), groups=np.arange(n))


def test_columns_of_another_length_are_refused() -> None:
    base = small_log.rows([(0, 1, 5), (1, 1, 5)])
    with pytest.raises(DataError, match=r"rows: task rating has shape \(1,\) where users has \(2,\)"):
        Rows(base.users, base.items, base.times, tasks={"rating": column(1.0)})
    with pytest.raises(DataError, match="labels has shape"):
        Rows(base.users, base.items, base.times, column(1.0))


def test_events_make_rows_and_those_without_a_time_have_none() -> None:
    events = [(0, 1, 4.0, 7), (1, 2, 3.0, NO_TIMESTAMP)]
    assert Rows.of(small_log.log(events)).times.tolist() == [7, NO_TIMESTAMP]
    assert Rows.of(small_log.log(events, timed=False)).times.tolist() == [NO_TIMESTAMP] * 2


def test_pairs_are_every_candidate_at_one_time() -> None:
    rows = Rows.pairs(np.array([3, 1]), np.array([[5, 4, -1], [0, 1, 2]]), now=9)
    assert rows.users.tolist() == [3, 3, 3, 1, 1, 1]
    assert rows.items.tolist() == [5, 4, -1, 0, 1, 2]
    assert set(rows.times.tolist()) == {9}
    assert rows.groups is not None
    assert rows.groups.tolist() == [0, 0, 0, 1, 1, 1]


def test_joined_rows_keep_what_both_have() -> None:
    first, second = labelled(2), labelled(3)
    first = Rows(
        first.users, first.items, first.times, first.labels, None, {"like": column(1, 0)}, first.groups
    )
    both = Rows.concat([first, second])
    assert both.items.tolist() == [0, 1, 0, 1, 2]
    assert both.labels is not None
    assert both.groups is not None
    assert both.groups.tolist() == [0, 1, 2, 3, 4]  # no group of one part is one of another
    np.testing.assert_array_equal(both.tasks["like"], column(1, 0, np.nan, np.nan, np.nan))
    assert Rows.concat([first, small_log.rows([(0, 0, 0)])]).labels is None
    with pytest.raises(DataError, match="nothing to join"):
        Rows.concat([])


def test_picked_rows_keep_all_columns() -> None:
    rows = Rows.concat([labelled(2), labelled(2)]).take(np.array([3, 0]))
    assert rows.items.tolist() == [1, 0]
    assert rows.groups is not None
    assert rows.groups.tolist() == [3, 0]
    assert len(rows.take(rows.items > 5)) == 0
