"""A split, and a recommender of given scores, as far as the protocol looks at them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genrec.data.recommendations import Recommendations
from genrec.data.tables import Interactions
from genrec.evaluation.protocol import EvaluationSet


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
