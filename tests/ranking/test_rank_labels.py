"""Labels and further targets, against what one reads off a few events."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from small_log import EVENTS, Event, log

from genrec.data.tables import NO_TIMESTAMP
from genrec.errors import ConfigError, DataError
from genrec.ranking.labels import DAY, HOUR, LabelRule
from genrec.ranking.rows import Rows

NAN = float("nan")


def values(rows: Rows, task: str) -> list[float | None]:
    return [None if np.isnan(one) else float(one) for one in rows.tasks[task]]


def test_four_stars_are_good_and_unrated_events_make_no_row() -> None:
    rows = LabelRule()(log([(0, 0, 4.0, 1), (0, 1, 3.5, 2), (0, 2, NAN, 3), (0, 3, 5.0, 4)]))
    assert rows.items.tolist() == [0, 1, 3]
    assert rows.labels is not None
    assert rows.labels.tolist() == [1, 0, 1]


def test_the_lukewarm_can_be_left_out() -> None:
    rows = LabelRule(dropped=(3.0,), threshold=3.5)(log([(0, 0, 3.0, 1), (0, 1, 3.5, 2), (0, 2, 2.0, 3)]))
    assert rows.items.tolist() == [1, 2]
    assert rows.labels is not None
    assert rows.labels.tolist() == [1, 0]


def test_without_ratings_every_event_is_good() -> None:
    rows = LabelRule(tasks=("like", "rating"))(log([(0, 0, 1.0, 1), (0, 1, 5.0, 2)], rated=False))
    assert values(rows, "like") == [1, 1]
    assert values(rows, "rating") == [None, None]


def test_without_a_threshold_every_event_is_good_rated_or_not() -> None:
    events: list[Event] = [(0, 0, 1.0, 1), (0, 1, NAN, 2), (0, 2, 3.0, 3)]
    rows = LabelRule(threshold=None, dropped=(3.0,), tasks=("like", "rating"))(log(events))
    assert rows.items.tolist() == [0, 1]
    assert values(rows, "like") == [1, 1]
    assert values(rows, "rating") == [0, None]


def test_ratings_are_scaled() -> None:
    rows = LabelRule(tasks=("rating",), scale=(1.0, 5.0))(
        log([(0, 0, 1.0, 1), (0, 1, 4.0, 2), (0, 2, 0.5, 3)])
    )
    assert values(rows, "rating") == [0.0, 0.75, 0.0]


def test_who_comes_back_after_the_session_returned() -> None:
    events: list[Event] = [
        (0, 0, 4.0, 0),
        (0, 1, 4.0, HOUR // 2),  # the same session
        (0, 2, 4.0, HOUR // 2 + 6 * DAY),  # back within a week
        (0, 3, 4.0, HOUR // 2 + 14 * DAY),  # not so
        (1, 0, 4.0, 13 * DAY),  # never again, but the week is not over when the log ends
        (2, 0, 4.0, 5 * DAY),  # never again
        (3, 0, 4.0, NO_TIMESTAMP),
    ]
    rows = LabelRule(tasks=("return",))(log(events))
    assert values(rows, "return") == [1, 1, 0, None, None, 0, None]


def test_later_events_are_looked_at_where_they_are_given() -> None:
    first: list[Event] = [(0, 0, 4.0, 0), (1, 1, 4.0, DAY)]
    rule = LabelRule(tasks=("return",))
    assert values(rule(log(first)), "return") == [None, None]
    assert values(rule(log(first), log([*first, (0, 1, NAN, 2 * DAY), (2, 2, 1.0, 30 * DAY)])), "return") == [
        1,
        0,
    ]
    assert values(rule(log(first, timed=False)), "return") == [None, None]


@settings(max_examples=60)
@given(EVENTS)
def test_return_equals_a_plain_loop(events: list[Event]) -> None:
    rule = LabelRule(tasks=("return",), pause_hours=2 / HOUR, return_days=5 / DAY)
    rated = [one for one in events if not np.isnan(one[2])]
    if not rated:
        return
    expected = [expected_return(events, one, 2, 5) for one in rated]
    assert values(rule(log(events), log(events)), "return") == expected


def expected_return(events: list[Event], event: Event, pause: int, deadline: int) -> float | None:
    if event[3] == NO_TIMESTAMP:
        return None
    later = sorted(one[3] for one in events if one[0] == event[0] and one[3] > event[3])
    end = event[3]
    while later and later[0] - end <= pause:
        end = later.pop(0)
    if later:
        return float(later[0] <= end + deadline)
    return 0.0 if end + deadline <= max(one[3] for one in events) else None


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"tasks": ("liked",)}, "LabelRule.tasks must be some of like, rating, return; got 'liked'"),
        ({"scale": (5.0, 1.0)}, "LabelRule.scale"),
        ({"return_days": 0.01}, "LabelRule.return_days must be longer"),
    ],
)
def test_settings_out_of_range_are_told(rule: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        LabelRule(**rule)  # type: ignore[arg-type]


def test_nothing_to_label_is_told() -> None:
    with pytest.raises(DataError, match="no event can be labelled"):
        LabelRule(dropped=(3.0,))(log([(0, 0, 3.0, 1), (0, 0, NAN, 1)]))
