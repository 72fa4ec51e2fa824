"""Negatives from recall: candidates beside the last rows of each user, by a recaller that has not seen those."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np
import pytest
from numpy.typing import NDArray
from pipeline_world import GLUTTON, LONER, N_ITEMS, dataset, in_order

from genrec.candidates import RecallNegatives
from genrec.data.recommendations import Recommendations
from genrec.data.tables import NO_TIMESTAMP, Interactions, ItemTable
from genrec.errors import ConfigError, DataError
from genrec.features.base import ItemFeatures
from genrec.ranking.labels import LabelRule
from genrec.ranking.negatives import Negatives, Uniform
from genrec.ranking.rows import Rows
from genrec.recall.ease import Ease
from genrec.recall.stored import Stored

DATA = dataset()
LOG = in_order(DATA.interactions)
ROWS = LabelRule(threshold=None)(LOG)


class Witness:
    """EASE that remembers what it was fitted to and for whom it was asked."""

    def __init__(self) -> None:
        self.ease = Ease(l2=5.0)

    def fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> Self:
        self.known, self.content = train, (items, features)
        self.ease.fit(train, items, features)
        return self

    def recommend(self, users: NDArray[np.int32], k: int, *, exclude_seen: bool = True) -> Recommendations:
        self.lists = self.ease.recommend(users, k, exclude_seen=exclude_seen)
        return self.lists


def made_by(
    witness: Witness,
    rows: Rows = ROWS,
    log: Interactions = LOG,
    *,
    depth: int = 10,
    last: int = 3,
    listed: bool = False,
    earlier: Negatives | None = None,
) -> Rows:
    way = RecallNegatives(witness, 4, depth=depth, last=last, listed=listed, earlier=earlier)
    return way.knowing(DATA.items, None)(rows, log)


def good(made: Rows) -> Rows:
    assert made.labels is not None
    return made.take(made.labels > 0)


def test_the_recaller_has_not_seen_the_events_that_get_candidates() -> None:
    witness = Witness()
    kept = good(made_by(witness))
    known = witness.known
    assert known.timestamps is not None
    assert witness.content == (DATA.items, None)
    for user in range(LOG.n_users):
        times, before = kept.times[kept.users == user], known.timestamps[known.users == user]
        total = int((LOG.users == user).sum())
        assert (len(times), len(before)) == ((0, 0) if user == LONER else (3, total - 3))
        assert user == LONER or before.max() < times.min()


def test_later_events_change_no_candidate() -> None:
    witness, other = Witness(), Witness()
    made = made_by(witness)
    kept = np.isin(np.arange(len(LOG)), matching(good(made)))
    shuffled = LOG.items.copy()
    shuffled[kept] = np.random.default_rng(1).permutation(shuffled[kept])
    changed = replace(LOG, items=shuffled)
    made_by(other, LabelRule(threshold=None)(changed), changed)
    np.testing.assert_array_equal(other.lists.items, witness.lists.items)
    np.testing.assert_array_equal(other.lists.scores, witness.lists.scores)


def matching(rows: Rows) -> list[int]:
    """Places of rows in the log."""
    places = {
        (user, item): place for place, (user, item) in enumerate(zip(LOG.users, LOG.items, strict=True))
    }
    return [places[user, item] for user, item in zip(rows.users, rows.items, strict=True)]


def test_negatives_are_what_the_list_of_the_user_holds() -> None:
    witness = Witness()
    made = made_by(witness)
    lists = dict(zip(witness.lists.users.tolist(), witness.lists.items.tolist(), strict=True))
    assert made.groups is not None
    assert made.labels is not None
    counts = []
    for group in np.unique(made.groups):
        own = made.take(made.groups == group)
        assert own.labels is not None
        assert own.labels.tolist() == [1] + [0] * (len(own) - 1)
        assert len(set(own.users.tolist())) == len(set(own.times.tolist())) == 1
        had = set(LOG.items[(LOG.users == own.users[0]) & (LOG.timestamps <= own.times[0])].tolist())
        drawn = set(own.items[1:].tolist())
        assert drawn <= set(lists[int(own.users[0])]) - had
        counts.append(len(drawn))
    assert max(counts) == 4
    assert np.mean(counts) > 3


def test_rows_that_recall_would_miss_are_left_out() -> None:
    witness = Witness()
    everything = good(made_by(Witness()))
    kept = good(made_by(witness, listed=True))
    lists = dict(zip(witness.lists.users.tolist(), witness.lists.items.tolist(), strict=True))
    held = [item in lists[user] for user, item in zip(everything.users, everything.items, strict=True)]
    assert 0 < sum(held) < len(everything)
    assert matching(kept) == matching(everything.take(np.array(held)))


def test_earlier_rows_get_other_negatives_or_are_left_out() -> None:
    made = made_by(Witness(), earlier=Uniform(2))
    assert len(good(made)) == len(LOG)
    assert made.groups is not None
    sizes = np.bincount(made.groups)
    assert len(sizes) == len(LOG)
    later = 3 * (len(np.unique(LOG.users)))
    assert sizes[:later].max() == 5
    assert sizes[later:].max() == 3
    assert sizes[later:].mean() > 2.5


def test_earlier_rows_may_get_candidates_of_an_earlier_fit() -> None:
    first, second = Witness(), Witness()
    way = RecallNegatives(second, 4, depth=10, last=2, listed=False)
    kept = good(made_by(first, last=1, earlier=way))
    assert len(kept) == 3 * len(np.unique(LOG.users))
    assert way.content is None  # a copy learned what items are
    assert second.content == (DATA.items, None)
    assert len(first.known) - len(second.known) == 2 * len(np.unique(LOG.users))


def test_rows_after_the_log_get_candidates_of_all_of_it() -> None:
    assert LOG.timestamps is not None
    first = np.zeros(len(LOG), dtype=bool)
    first[np.flatnonzero(np.diff(LOG.users, append=-1))] = True  # the last event of each user
    witness = Witness()
    log = LOG.take(~first)
    made = made_by(witness, LabelRule(threshold=None)(LOG.take(first)), log, last=20)
    assert len(good(made)) == first.sum()
    np.testing.assert_array_equal(witness.known.items, log.items)


def test_half_of_a_history_is_left_to_recommend_from() -> None:
    witness = Witness()
    kept = good(made_by(witness, last=1000))
    counts = np.bincount(kept.users, minlength=LOG.n_users)
    assert counts[0] == 4
    assert counts[GLUTTON] == N_ITEMS // 2
    np.testing.assert_array_equal(np.bincount(LOG.users) - counts, np.bincount(witness.known.users))


def test_rows_that_are_not_good_stay_without_candidates() -> None:
    rows = LabelRule()(LOG)
    made = made_by(Witness(), rows)
    assert made.groups is not None
    assert rows.labels is not None
    assert (np.bincount(made.groups) == 1).sum() >= 20
    assert len(np.unique(made.groups)) == 3 * len(np.unique(LOG.users))


def test_events_without_a_time_are_early_ones() -> None:
    assert LOG.timestamps is not None
    times = LOG.timestamps.copy()
    times[LOG.users == 0] = NO_TIMESTAMP
    log = replace(LOG, timestamps=times)
    witness = Witness()
    kept = good(made_by(witness, LabelRule(threshold=None)(log), log))
    assert 0 not in kept.users
    assert (witness.known.users == 0).sum() == 8


def test_what_cannot_be_done_is_told() -> None:
    with pytest.raises(DataError, match="call `knowing` first"):
        RecallNegatives(Ease())(ROWS, LOG)
    way = RecallNegatives(Ease()).knowing(DATA.items, None)
    with pytest.raises(DataError, match="have no labels"):
        way(replace(ROWS, labels=None), LOG)
    untimed = replace(LOG, timestamps=None)
    with pytest.raises(DataError, match="give the events times"):
        way(LabelRule(threshold=None)(untimed), untimed)
    with pytest.raises(ConfigError, match=r"RecallNegatives\.recaller was trained before"):
        RecallNegatives(Stored("out/ml100k/recall-ease"))
    for name in ("depth", "last", "per_positive"):
        with pytest.raises(ConfigError, match=rf"RecallNegatives\.{name} must be at least 1"):
            RecallNegatives(Ease(), **{name: 0})  # type: ignore[arg-type] # a number, whichever it is
