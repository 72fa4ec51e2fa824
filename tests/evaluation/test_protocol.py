from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from genrec.data.recommendations import Recommendations
from genrec.errors import ConfigError, DataError
from genrec.evaluation.protocol import EvaluationSet, Recommender, check_lists, evaluate, evaluation_set

ByScores = Callable[[NDArray[np.float64]], Recommender]


def random_scores() -> NDArray[np.float64]:
    return np.random.default_rng(1).random((60, 40))


@pytest.fixture
def lists(cases: EvaluationSet, by_scores: ByScores) -> Recommendations:
    """Honest random lists of 20 items, masked."""
    return by_scores(random_scores()).recommend(cases.users.copy(), 20)


def test_the_set_holds_what_the_split_says(split: Any, cases: EvaluationSet) -> None:
    assert cases.users.tolist() == list(range(60))
    for row in (0, 7, 59):
        stop = cases.target_offsets[row + 1]
        targets = cases.target_items[cases.target_offsets[row] : stop]
        assert targets.tolist() == sorted(split.test.items[split.test.users == row])
    assert cases.history[5].tolist() == [
        *split.train.items[split.train.users == 5],
        *split.valid.items[split.valid.users == 5],
    ]
    assert cases.describe() == {
        "users": 60,
        "users_warm": 59,
        "users_cold": 1,
        "items": 40,
        "items_warm": 39,
        "items_cold": 1,
        "targets": 180,
        "targets_on_cold_items": 1,
        "targets_already_in_history": 0,
    }


def test_validation_knows_training_only(split: Any) -> None:
    cases = evaluation_set(split, "valid")
    assert cases.users.tolist() == list(range(1, 60))
    assert len(cases.history.items) == len(split.train)
    assert cases.item_counts.sum() == len(split.train)


def test_a_repeated_target_counts_once(split: Any) -> None:
    twice = split.test.take(np.repeat(np.arange(len(split.test)), 2))
    cases = evaluation_set(replace(split, test=twice), "test")
    assert cases.n_targets.tolist() == [3] * 60


def test_a_sample_of_users_is_the_whole_restricted(split: Any, cases: EvaluationSet) -> None:
    some = evaluation_set(split, "test", max_users=17, seed=3)
    again = evaluation_set(split, "test", max_users=17, seed=3)
    assert len(some.users) == 17
    assert np.array_equal(some.users, again.users)
    for row, user in enumerate(some.users):
        mine = some.target_items[some.target_offsets[row] : some.target_offsets[row + 1]]
        whole = cases.target_items[cases.target_offsets[user] : cases.target_offsets[user + 1]]
        assert np.array_equal(mine, whole)


@pytest.mark.parametrize("max_users", [0, -1, 2.5])
def test_max_users_is_a_count(split: Any, max_users: Any) -> None:
    with pytest.raises(ConfigError, match=r"evaluation_set\.max_users"):
        evaluation_set(split, "test", max_users=max_users)


def test_unknown_and_empty_parts_are_refused(split: Any) -> None:
    with pytest.raises(ConfigError, match=r"evaluation_set\.part"):
        evaluation_set(split, "train")
    empty = replace(split, test=split.test.take(np.array([], dtype=np.int64)))
    with pytest.raises(DataError, match="no events"):
        evaluation_set(empty, "test")


def test_places_of_targets(cases: EvaluationSet, lists: Recommendations) -> None:
    places = cases.target_places(lists)
    for m in range(len(places)):
        row = lists.items[cases.target_rows[m]].tolist()
        target = cases.target_items[m]
        assert places[m] == (row.index(target) + 1 if target in row else 21)


def test_an_oracle_gets_everything_and_its_opposite_nothing(
    cases: EvaluationSet, by_scores: ByScores
) -> None:
    scores = np.zeros((60, 40))
    scores[cases.users[cases.target_rows], cases.target_items] = 1
    best = evaluate(by_scores(scores), cases, [3], method="oracle", masked=True)
    assert {best.summary[f"{m}@3"] for m in ("recall", "ndcg", "hitrate", "precision", "mrr", "f1")} == {1.0}
    worst = evaluate(by_scores(-scores), cases, [3], method="opposite", masked=True)
    assert worst.summary["hitrate@3"] == 0
    assert best.summary["invalid"] == worst.summary["invalid"] == 0


def test_cut_offs_beyond_the_catalogue_and_beyond_accuracy(cases: EvaluationSet, by_scores: ByScores) -> None:
    vectors = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    found = evaluate(
        by_scores(random_scores()), cases, (5, 100), method="random", masked=False, vectors=vectors
    )
    assert found.recommendations.k == 100
    assert found.summary["recall@100"] == 1
    assert found.summary["precision@100"] == pytest.approx(0.03)
    assert found.summary["coverage@100"] == 1
    assert found.summary["gini@100"] == pytest.approx(0)
    assert 0 < found.summary["ild@5"] < 2
    assert found.users_per_second > 0
    assert found.masking == "unmasked"


def test_batches_do_not_change_metrics(split: Any, cases: EvaluationSet, by_scores: ByScores) -> None:
    """Judging users one sample at a time gives the per-user figures of judging all at once."""
    scores = by_scores(random_scores())
    whole = evaluate(scores, cases, [10], method="m", masked=True)
    some = evaluation_set(split, "test", max_users=9)
    part = evaluate(scores, some, [10], method="m", masked=True)
    for name, values in part.per_user.items():
        assert np.array_equal(values, whole.per_user[name][some.users])


def break_users(lists: Recommendations) -> None:
    lists.users[[0, 1]] = lists.users[[1, 0]]


def break_catalogue(lists: Recommendations) -> None:
    lists.items[3, -1] = 40


def break_below(lists: Recommendations) -> None:
    lists.items[3, -1] = -2


def break_distinct(lists: Recommendations) -> None:
    lists.items[3, 4] = lists.items[3, 0]


def break_end(lists: Recommendations) -> None:
    lists.items[3, 4] = -1


def break_nan(lists: Recommendations) -> None:
    lists.scores[3, 4] = np.nan


def break_order(lists: Recommendations) -> None:
    lists.scores[3, 4] = 2


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (break_users, "other users"),
        (break_catalogue, "outside the catalogue"),
        (break_below, "outside the catalogue"),
        (break_distinct, "repeats an item"),
        (break_end, "after the end"),
        (break_nan, "NaN"),
        (break_order, "rise"),
    ],
)
def test_broken_lists_are_caught(
    cases: EvaluationSet,
    lists: Recommendations,
    damage: Callable[[Recommendations], None],
    complaint: str,
) -> None:
    check_lists(lists, cases, 20, masked=True, method="m")
    damage(lists)
    with pytest.raises(ValueError, match=f"m, masked: the recommender .*{complaint}"):
        check_lists(lists, cases, 20, masked=True, method="m")


def test_history_and_length_are_checked(cases: EvaluationSet, by_scores: ByScores) -> None:
    unmasked = by_scores(random_scores()).recommend(cases.users, 20, exclude_seen=False)
    check_lists(unmasked, cases, 20, masked=False, method="m")
    with pytest.raises(ValueError, match="items of the history"):
        check_lists(unmasked, cases, 20, masked=True, method="m")
    with pytest.raises(ValueError, match="lists of 20 items instead of 10"):
        check_lists(unmasked, cases, 10, masked=False, method="m")
