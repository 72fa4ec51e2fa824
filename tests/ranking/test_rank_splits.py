"""The parts of a ranking experiment, and what may be looked up for each."""

from __future__ import annotations

import numpy as np
import pytest
from small_log import Event, log

from genrec.data.splits import GlobalTime, RandomSplit
from genrec.data.tables import NO_TIMESTAMP, Dataset, Interactions
from genrec.ranking.labels import LabelRule
from genrec.ranking.splits import LabelledPart, ranking_split, rated_in_time

NAN = float("nan")


def latest(events: Interactions) -> int:
    assert events.timestamps is not None
    return int(events.timestamps.max())


def test_under_the_time_split_rows_come_after_what_was_learnt(ml100k: Dataset) -> None:
    split = ranking_split(GlobalTime()(ml100k.interactions), LabelRule())
    assert split.train.rows.times.max() <= split.valid.rows.times.min()
    assert latest(split.valid.log) == split.train.rows.times.max()
    assert latest(split.test.log) == split.valid.rows.times.max()
    assert sum(len(part.rows) for part in (split.train, split.valid, split.test)) == len(ml100k.interactions)


def test_live_statistics_go_on(ml100k: Dataset) -> None:
    events = ml100k.interactions
    split = ranking_split(GlobalTime()(events), LabelRule(), live=True)
    assert len(split.test.log) == len(events)
    assert len(split.valid.log) == len(split.train.rows) + len(split.valid.rows)
    assert len(split.train.log) == len(split.train.rows)


def test_the_random_split_has_a_tenth_and_a_log_without_it(ml100k: Dataset) -> None:
    split = ranking_split(RandomSplit()(ml100k.interactions), LabelRule(dropped=(3.0,)))
    assert 0.08 < len(split.test.rows) / len(split.train.rows) / (1 / 8) < 1.3
    assert pairs(split.test.log).isdisjoint(row_pairs(split.test))
    assert pairs(split.valid.log).isdisjoint(row_pairs(split.valid) | row_pairs(split.test))
    assert len(split.train.log) > len(split.train.rows)  # the lukewarm stay in the log


def pairs(events: Interactions) -> set[tuple[int, int]]:
    return set(zip(events.users.tolist(), events.items.tolist(), strict=True))


def row_pairs(part: LabelledPart) -> set[tuple[int, int]]:
    return set(zip(part.rows.users.tolist(), part.rows.items.tolist(), strict=True))


@pytest.mark.parametrize("rated", [True, False])
def test_events_that_can_be_ranked_have_a_rating_and_a_time(rated: bool) -> None:
    events: list[Event] = [(0, 0, 4.0, 1), (0, 1, NAN, 2), (0, 2, 4.0, NO_TIMESTAMP)]
    kept = rated_in_time(log(events, rated=rated))
    assert kept.items.tolist() == ([0] if rated else [0, 1])
    assert np.all(kept.timestamps != NO_TIMESTAMP)
