"""Point-in-time statistics: against a plain loop, against the future, and against a log that ends before the row."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_log import EVENTS, N_ITEMS, N_USERS, ROWS, TIMES, Event, items, log, rows

from genrec.data.tables import NO_TIMESTAMP, Dataset, Interactions
from genrec.errors import DataError
from genrec.ranking.genres import BLOCK, ItemGenres
from genrec.ranking.rows import Rows
from genrec.ranking.statistics import STATISTICS, Statistics

GENRES = ItemGenres.of(items())
LENGTH = 3
Values = dict[str, np.ndarray]


def answers(statistics: Statistics, asked: Rows) -> Values:
    """All statistics, and the history."""
    found = statistics(asked.users, asked.items, asked.times)
    return found | {"history": statistics.at(asked.users, asked.items, asked.times).history(LENGTH)}


def oracle(events: list[Event], row: tuple[int, int, int], rated: bool = True) -> dict[str, object]:
    """The same for one row, event by event."""
    user, item, time = row
    if time == NO_TIMESTAMP:
        numbers = {name: np.nan for name in STATISTICS if name not in ("user_genres", "hour", "weekday")}
        return numbers | {"user_genres": [-1] * 3, "hour": -1, "weekday": -1, "history": [-1] * LENGTH}
    past = [one for one in events if one[3] != NO_TIMESTAMP and one[3] < time]
    values: dict[str, object] = {}
    for side, own in (
        ("user", [one for one in past if one[0] == user]),
        ("item", [one for one in past if one[1] == item]),
    ):
        ratings = [one[2] for one in own if rated and not np.isnan(one[2])]
        values[f"{side}_count"] = len(own)
        values[f"{side}_rated"] = len(ratings)
        values[f"{side}_mean"] = np.mean(ratings) if ratings else np.nan
        values[f"{side}_variance"] = np.var(ratings) if ratings else np.nan
        values[f"{side}_recency"] = time - max(one[3] for one in own) if own else np.nan
    own = sorted((one for one in past if one[0] == user), key=lambda one: one[3])
    met = Counter(genre for one in own for genre in np.flatnonzero(GENRES.hot[one[1]]).tolist())
    best = sorted(met, key=lambda genre: (-met[genre], genre))[:3]
    last = [one[1] for one in own][-LENGTH:]
    values["user_genres"] = best + [-1] * (3 - len(best))
    values["history"] = last + [-1] * (LENGTH - len(last))
    values["hour"], values["weekday"] = time // 3600 % 24, (time // 86400 + 3) % 7
    return values


def check(found: Values, expected: list[dict[str, object]]) -> None:
    assert set(found) == set(expected[0])
    for name, column in found.items():
        wanted = np.array([one[name] for one in expected], dtype=np.float64)
        # ratings are multiples of 1/1024, to which 4.1 is rounded
        np.testing.assert_allclose(column.astype(np.float64), wanted, atol=0.01, err_msg=name)


@settings(max_examples=60)
@given(EVENTS, ROWS, st.booleans())
def test_values_equal_those_of_a_plain_loop(
    events: list[Event], asked: list[tuple[int, int, int]], rated: bool
) -> None:
    found = answers(Statistics(log(events, rated), GENRES), rows(asked))
    check(found, [oracle(events, row, rated) for row in asked])


@settings(max_examples=60)
@given(EVENTS, EVENTS, EVENTS, TIMES, ROWS, st.randoms(use_true_random=False))
def test_what_happens_at_or_after_a_time_changes_nothing_up_to_it(
    past: list[Event],
    future: list[Event],
    other: list[Event],
    time: int,
    asked: list[tuple[int, int, int]],
    random: object,
) -> None:
    past = [one for one in past if one[3] < time]  # NO_TIMESTAMP among them
    until = [(user, item, min(at, time)) for user, item, at in asked]
    first, second = (
        Statistics(
            log(merged(past, [(*one[:3], time + one[3]) for one in later if one[3] >= 0], random)), GENRES
        )
        for later in (future, other)
    )
    one, two = answers(first, rows(until)), answers(second, rows(until))
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)  # to the bit


def merged(past: list[Event], later: list[Event], random: object) -> list[Event]:
    """Both in any order but that of the past events among themselves, which decides ties."""
    marks = [0] * len(past) + [1] * len(later)
    random.shuffle(marks)  # type: ignore[attr-defined]
    random.shuffle(later)  # type: ignore[attr-defined]
    queues = (iter(past), iter(later))
    return [next(queues[mark]) for mark in marks]


@settings(max_examples=60)
@given(EVENTS)
def test_a_batch_equals_row_by_row_from_a_log_that_ends_just_before(events: list[Event]) -> None:
    if not events:
        return
    asked = Rows.of(log(events))
    batch = answers(Statistics(log(events), GENRES), asked)
    for place, (_, _, _, time) in enumerate(events):
        before = [one for one in events if one[3] < time]
        served = answers(Statistics(log(before), GENRES), asked.take(slice(place, place + 1)))
        for name, column in served.items():
            np.testing.assert_array_equal(column, batch[name][place : place + 1], err_msg=name)


def test_the_same_on_movielens(ml100k: Dataset) -> None:
    events, genres = ml100k.interactions, ItemGenres.of(ml100k.items)
    assert events.timestamps is not None
    batch = answers(Statistics(events, genres), Rows.of(events))
    for place in np.random.default_rng(0).choice(len(events), 15, replace=False):
        before = events.take(events.timestamps < events.timestamps[place])
        served = answers(Statistics(before, genres), Rows.of(events).take(slice(place, place + 1)))
        for name, column in served.items():
            np.testing.assert_array_equal(column, batch[name][place : place + 1], err_msg=name)


def test_many_events_of_one_user_cross_the_blocks_of_genre_counts() -> None:
    events: list[Event] = [(0, place % 5, 3.0, place) for place in range(3 * BLOCK + 7)]
    asked = [(0, 0, time) for time in (0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK + 7)]
    check(answers(Statistics(log(events), GENRES), rows(asked)), [oracle(events, row) for row in asked])


def test_times_too_fine_for_one_integer_are_numbered_instead() -> None:
    big = 2**62
    events: list[Event] = [(1, 2, 4.0, -big), (1, 3, 2.0, 7), (1, 2, 3.0, big)]
    statistics = Statistics(log(events), GENRES)
    asked = rows([(1, 2, -big), (1, 2, 7), (1, 2, 8), (1, 2, big), (1, 2, big + 5), (2, 2, 9)])
    found = statistics(asked.users, asked.items, asked.times, ["user_count", "item_count", "user_recency"])
    assert found["user_count"].tolist() == [0, 1, 2, 2, 3, 0]
    assert found["item_count"].tolist() == [0, 1, 1, 1, 2, 1]
    assert found["user_recency"][4] == 5


def test_ties_keep_the_order_of_the_log_and_are_not_past_to_each_other() -> None:
    statistics = Statistics(log([(0, 3, 1.0, 5), (0, 1, 1.0, 5), (0, 2, 1.0, 4)]))
    assert statistics.at(*columns((0, 0, 6))).history(LENGTH).tolist() == [[2, 3, 1]]
    assert statistics.at(*columns((0, 1, 5))).history(LENGTH).tolist() == [[2, -1, -1]]


def test_an_empty_log_and_one_without_times_know_nothing() -> None:
    for events in (log([]), log([(0, 1, 4.0, 3)], timed=False)):
        found = answers(Statistics(events, GENRES), rows([(0, 1, 10)]))
        assert found["user_count"].tolist() == [0]
        assert np.isnan(found["item_mean"]).all()
        assert found["history"].tolist() == [[-1] * LENGTH]


def test_genres_must_be_known_to_be_asked_for() -> None:
    with pytest.raises(DataError, match="needs the genres of items"):
        Statistics(log([(0, 1, 4.0, 3)]))(*columns((0, 1, 4)), ["user_genres"])
    assert "user_genres" not in Statistics(log([]))(*columns((0, 1, 4)))


def test_sums_are_right_where_totals_of_the_whole_log_overflow() -> None:
    n = 600_000  # squares of the largest rating, more than 63 bits in all; half of that per user
    users = np.repeat(np.array([0, 1], dtype=np.int32), n // 2)
    events = Interactions(
        users,
        np.zeros(n, dtype=np.int32),
        N_USERS,
        N_ITEMS,
        np.full(n, 4096.0, dtype=np.float32),
        np.arange(n),
    )
    found = Statistics(events)(*columns((0, 0, n), (1, 0, n)), ["user_mean", "user_variance"])
    assert found["user_mean"].tolist() == [4096.0, 4096.0]
    assert found["user_variance"].tolist() == [0.0, 0.0]


def columns(*asked: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    made = rows(asked)
    return made.users, made.items, made.times
