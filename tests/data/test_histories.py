"""Histories agree with what plain loops over the events give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.histories import Histories
from genrec.data.tables import Interactions

N_USERS, N_ITEMS = 6, 9
event_lists = st.lists(st.tuples(st.integers(0, N_USERS - 1), st.integers(0, N_ITEMS - 1)), max_size=40)
user_lists = st.lists(st.integers(0, N_USERS - 1), max_size=12)


def interactions(events: list[tuple[int, int]], timed: bool = False) -> Interactions:
    """Events in the order given, sorted by user."""
    ordered = sorted(events, key=lambda event: event[0])
    users = np.array([user for user, _ in ordered], np.int32)
    items = np.array([item for _, item in ordered], np.int32)
    times = np.arange(len(ordered), dtype=np.int64) if timed else None
    return Interactions(users, items, N_USERS, N_ITEMS, timestamps=times)


def of_user(events: list[tuple[int, int]], user: int) -> list[int]:
    return [item for other, item in events if other == user]


@given(event_lists)
def test_a_user_has_their_events_in_order(events: list[tuple[int, int]]) -> None:
    histories = Histories.of(interactions(events))
    assert [histories[user].tolist() for user in range(N_USERS)] == [
        of_user(events, user) for user in range(N_USERS)
    ]
    assert histories.lengths.tolist() == [len(of_user(events, user)) for user in range(N_USERS)]
    assert histories.n_users == N_USERS


@given(event_lists, user_lists, st.integers(1, 7))
def test_padded_keeps_the_last_items_left_aligned(
    events: list[tuple[int, int]], users: list[int], length: int
) -> None:
    padded = Histories.of(interactions(events)).padded(np.array(users, np.int64), length)
    expected = [(of_user(events, user)[-length:] + [-1] * length)[:length] for user in users]
    assert padded.dtype == np.int32
    assert padded.tolist() == expected


@given(event_lists, user_lists)
def test_rows_are_all_events_of_the_users_asked_for(events: list[tuple[int, int]], users: list[int]) -> None:
    rows, items = Histories.of(interactions(events)).rows(np.array(users, np.int64))
    expected = [(row, item) for row, user in enumerate(users) for item in of_user(events, user)]
    assert list(zip(rows.tolist(), items.tolist(), strict=True)) == expected


def test_unsorted_events_are_refused() -> None:
    events = Interactions(np.array([1, 0], np.int32), np.array([0, 0], np.int32), 2, 1)
    with pytest.raises(ValueError, match="sorted by user"):
        Histories.of(events)


@pytest.mark.parametrize("timed", [True, False])
def test_saved_histories_come_back_memory_mapped(tmp_path: Path, timed: bool) -> None:
    histories = Histories.of(interactions([(2, 4), (0, 1), (2, 3), (5, 8)], timed))
    histories.save(tmp_path / "histories")
    loaded = Histories.load(tmp_path / "histories", N_ITEMS)
    assert isinstance(loaded.items, np.memmap)
    assert loaded.n_items == N_ITEMS
    np.testing.assert_array_equal(loaded.offsets, histories.offsets)
    np.testing.assert_array_equal(
        loaded.padded(np.arange(N_USERS), 3), histories.padded(np.arange(N_USERS), 3)
    )
    assert (loaded.timestamps is not None) == timed
