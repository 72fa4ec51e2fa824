"""Small random worlds: a split, its evaluation set, and lists for its users."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fake_split import FakeSplit, FixedScores, events
from numpy.typing import NDArray

from genrec.data.tables import Interactions
from genrec.evaluation.comparison import Comparison, compare
from genrec.evaluation.protocol import EvaluationSet, evaluate, evaluation_set


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
