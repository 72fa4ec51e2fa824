"""Small random worlds: a split, its evaluation set, and lists for its users."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from genrec.data.recommendations import Recommendations
from genrec.data.tables import Interactions
from genrec.evaluation.comparison import Comparison, compare
from genrec.evaluation.protocol import EvaluationSet, evaluate, evaluation_set


@dataclass(frozen=True)
class FakeSplit:
    """What the protocol reads of a split."""

    train: Interactions
    valid: Interactions
    test: Interactions
    protocol: str = "loo"
    tie_rule: str = "shuffled"
    seed: int = 0
    hash: str = "0123456789abcdef"

    def before(self, part: str) -> Interactions:
        if part == "valid":
            return self.train
        users = np.concatenate([self.train.users, self.valid.users])
        items = np.concatenate([self.train.items, self.valid.items])
        order = np.argsort(users, kind="stable")
        return Interactions(users[order], items[order], self.train.n_users, self.train.n_items)


@dataclass(frozen=True)
class FixedScores:
    """Recommends by a given score matrix; ties go to the smaller item."""

    scores: NDArray[np.float64]
    seen: EvaluationSet

    def recommend(self, users: NDArray[np.int32], k: int, *, exclude_seen: bool = True) -> Recommendations:
        scores = self.scores[users].copy()
        if exclude_seen:
            scores[self.seen.history.rows(users)] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(scores, order, axis=1)
        items = np.full((len(users), k), -1, dtype=np.int32)
        values = np.full((len(users), k), -np.inf, dtype=np.float32)
        items[:, : order.shape[1]] = np.where(best > -np.inf, order, -1)
        values[:, : order.shape[1]] = best
        return Recommendations(users, items, values)


def events(rng: np.random.Generator, n_users: int, n_items: int, per_user: int) -> Interactions:
    """Distinct random items for every user."""
    items = np.argsort(rng.random((n_users, n_items)), axis=1)[:, :per_user].astype(np.int32)
    users = np.repeat(np.arange(n_users, dtype=np.int32), per_user)
    return Interactions(users, items.ravel(), n_users, n_items)


@pytest.fixture
def split() -> FakeSplit:
    """60 users × 40 items; user 0 has no training event, item 39 none either; the history has 8 + 1 items."""
    rng = np.random.default_rng(0)
    world = events(rng, 60, 39, 12)
    place = np.tile(np.arange(12), 60)
    world = Interactions(world.users, world.items, 60, 40)
    keep = world.users > 0
    test = world.take(np.flatnonzero(place >= 9))
    test.items[-1] = 39
    return FakeSplit(world.take((place < 8) & keep), world.take((place == 8) & keep), test)


@pytest.fixture
def cases(split: FakeSplit) -> EvaluationSet:
    """The test part of `split`: 60 users with 3 targets each."""
    return evaluation_set(split, "test")  # type: ignore[arg-type]


@pytest.fixture
def by_scores(cases: EvaluationSet) -> Callable[[NDArray[np.float64]], FixedScores]:
    """Makes a recommender of a score matrix [60, 40]."""
    return lambda scores: FixedScores(scores, cases)


@pytest.fixture
def comparison(cases: EvaluationSet, by_scores: Callable[[NDArray[np.float64]], FixedScores]) -> Comparison:
    """Four random methods, masked and unmasked, at 5 and 10."""
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(40, 4)).astype(np.float32)
    scores = {name: rng.random((60, 40)) for name in ("popularity", "generative", "embedding", "ease")}
    return compare(
        [
            evaluate(by_scores(one), cases, (5, 10), method=name, masked=masked, vectors=vectors)
            for masked in (True, False)
            for name, one in scores.items()
        ],
        "test",
        n=200,
    )
