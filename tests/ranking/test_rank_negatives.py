"""Negatives are items that the user did not have, whatever they are drawn from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_log import EVENTS, N_ITEMS, N_USERS, Event, log, rows

from genrec.data.recommendations import Recommendations
from genrec.data.tables import NO_TIMESTAMP
from genrec.errors import ConfigError, DataError
from genrec.ranking.labels import LabelRule
from genrec.ranking.negatives import Candidates, Mixed, Negatives, Uniform
from genrec.ranking.rows import Rows

LISTS = np.array([[5, 4, 3], [0, -1, -1], [2, 1, 0], [-1, -1, -1]])


def labelled(events: list[Event]) -> Rows:
    return LabelRule(tasks=("like", "rating"))(log(events, rated=False))


def groups(made: Rows) -> dict[int, list[int]]:
    """Items by group, the good one first."""
    assert made.groups is not None
    return {int(group): made.items[made.groups == group].tolist() for group in np.unique(made.groups)}


@pytest.mark.parametrize("way", [Uniform(3), Candidates(LISTS, 2), Mixed([Uniform(1), Candidates(LISTS, 1)])])
@settings(max_examples=40)
@given(events=EVENTS)
def test_no_negative_is_in_the_history_or_drawn_twice(way: Negatives, events: list[Event]) -> None:
    if not events:
        return
    good = labelled(events)
    made = way(good, log(events))
    for group, (own, *drawn) in groups(made).items():
        user, item, _, time = events[group]
        known = {one[1] for one in events if one[0] == user and (one[3] <= time or time == NO_TIMESTAMP)}
        assert own == item
        assert not known & set(drawn)
        assert len(set(drawn)) == len(drawn) <= way.per_positive
        assert all(0 <= one < N_ITEMS for one in drawn)
        assert isinstance(way, Uniform) or set(drawn) <= set(
            range(N_ITEMS) if isinstance(way, Mixed) else LISTS[user]
        )
    again = way(good, log(events))
    np.testing.assert_array_equal(again.items, made.items)


def test_negatives_have_the_time_and_the_group_of_their_good_row() -> None:
    events: list[Event] = [(0, 0, 5.0, 7), (1, 1, 2.0, 9)]
    made = Uniform(2)(LabelRule(tasks=("like", "rating"))(log(events)), log(events))
    assert made.labels is not None
    assert made.groups is not None
    assert made.labels.tolist() == [1, 0, 0, 0]  # the low rating stays, and gets none of its own
    assert made.groups.tolist() == [0, 0, 0, 1]
    assert made.times.tolist() == [7, 7, 7, 9]
    assert made.tasks["like"].tolist() == [1, 0, 0, 0]
    np.testing.assert_array_equal(np.isnan(made.tasks["rating"]), [False, True, True, False])


def test_what_the_user_takes_later_may_be_shown_before() -> None:
    events: list[Event] = [(0, 0, 5.0, 1), *((0, item, 5.0, 2) for item in range(1, N_ITEMS))]
    made = groups(Uniform(2)(labelled(events), log(events)))
    assert len(made[0]) == 3
    assert all(len(made[place]) == 1 for place in range(1, N_ITEMS))  # everything was had by then


def test_lists_of_some_users_and_of_a_depth() -> None:
    lists = Recommendations(
        np.array([2, 0], dtype=np.int32), LISTS[[2, 0]].astype(np.int32), np.zeros((2, 3), np.float32)
    )
    events: list[Event] = [(0, 1, 5.0, 1), (1, 1, 5.0, 1), (2, 5, 5.0, 1)]
    made = groups(Candidates(lists, 3)(labelled(events), log(events)))
    assert set(made[0][1:]) == {5, 4, 3}
    assert made[1] == [1]
    assert set(made[2][1:]) == {2, 1, 0}
    assert groups(Candidates(lists, 3, depth=1)(labelled(events), log(events)))[0] == [1, 5]


def test_every_candidate_is_as_likely() -> None:
    n = 3000
    good = Rows(np.zeros(n, np.int32), np.full(n, -1, np.int32), np.full(n, 5), np.ones(n, np.float32))
    for way, wanted in ((Uniform(1), N_ITEMS), (Candidates(LISTS, 1), 3)):
        made = way(good, log([]))
        counts = np.bincount(made.items[made.items >= 0], minlength=N_ITEMS)
        assert (counts > 0).sum() == wanted
        np.testing.assert_allclose(counts[counts > 0] / n, 1 / wanted, atol=0.05)


def test_blocks_of_rows_are_drawn_differently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrec.ranking.negatives._BLOCK", 50)
    good = Rows(
        np.zeros(100, np.int32), np.full(100, -1, np.int32), np.full(100, 5), np.ones(100, np.float32)
    )
    for way in (Uniform(1), Mixed([Uniform(1)])):
        made = way(good, log([]))
        drawn = made.items[made.items >= 0]
        assert len(drawn) == 100
        assert not np.array_equal(drawn[:50], drawn[50:])


@settings(max_examples=25)
@given(st.integers(-1, N_USERS), st.integers(-1, 40))
def test_an_unknown_user_can_have_negatives_too(user: int, time: int) -> None:
    made = Uniform(2)(Rows(*columns(user, time), np.ones(1, np.float32)), log([(0, 1, 5.0, 1)]))
    assert len(made) == 3


def columns(user: int, time: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    made = rows([(user, 0, time)])
    return made.users, made.items, made.times


def test_what_cannot_be_done_is_told() -> None:
    with pytest.raises(DataError, match="these rows have no labels; use LabelRule"):
        Uniform()(rows([(0, 0, 1)]), log([]))
    with pytest.raises(ConfigError, match=r"Uniform\.per_positive must be at least 1"):
        Uniform(0)
    with pytest.raises(ConfigError, match=r"Candidates\.depth"):
        Candidates(LISTS, depth=0)
    with pytest.raises(ConfigError, match=r"Candidates\.lists must have a row"):
        Candidates(LISTS[0])
    with pytest.raises(ConfigError, match=r"Mixed\.parts is empty"):
        Mixed([])
