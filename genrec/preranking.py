"""Pre-ranking in a pipeline: users as vectors of their tastes, and lists of recall to learn from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genrec.data.histories import Histories
from genrec.data.tables import Interactions, ItemTable
from genrec.features.base import ItemFeatures
from genrec.ranking.prerank import CandidateLists, PreRank, PreRanker
from genrec.recall.base import Recaller
from genrec.recall.fusion import check_untrained, last_events

LAST = 20
"""Newest items of a history that make a taste."""


def tastes(features: ItemFeatures, histories: Histories, last: int = LAST) -> NDArray[np.float32]:
    """Users as the mean of their newest items' unit vectors, float32 [n_users, D]; zero without a known item."""
    unit = _unit(features)
    found = np.zeros((histories.n_users, unit.shape[1]), dtype=np.float32)
    for start in range(0, histories.n_users, 4096):
        users = np.arange(start, min(start + 4096, histories.n_users))
        lengths = np.minimum(histories.lengths[users], last)
        stops = histories.offsets[users + 1]
        columns = stops[:, None] - lengths[:, None] + np.arange(last)
        there = columns < stops[:, None]
        if not len(histories.items):
            break
        items = np.asarray(histories.items)[np.where(there, columns, 0)]
        known = there & features.present[items]
        total = (unit[items] * known[:, :, None]).sum(axis=1)
        found[users] = total / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return found


class TastePreRanker:
    """The pre-ranker of a pipeline: scores candidates by tastes, item vectors and what recall said.

    Args:
        model: trained with lists of `candidate_lists`.
        features: of the items, those that it was trained with.
        histories: of the users.
    """

    def __init__(self, model: PreRank, features: ItemFeatures, histories: Histories) -> None:
        self.scorer = PreRanker(model, _unit(features))
        tasted = tastes(features, histories)
        self.tastes = np.concatenate([tasted, np.zeros((1, tasted.shape[1]), dtype=np.float32)])  # for -1

    def __call__(
        self, users: NDArray[np.int32], items: NDArray[np.int32], scores: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Scores [U, C] of candidates [U, C]; a user of -1 is unknown."""
        return self.scorer(self.tastes[users], items, scores)


def candidate_lists(
    recaller: Recaller,
    features: ItemFeatures,
    histories: Histories,
    users: NDArray[np.int32],
    targets: NDArray[np.int32],
    depth: int,
) -> CandidateLists:
    """What a fitted recaller proposes to users, and whether it is what they took next.

    Args:
        recaller: fitted to `histories`.
        features: of the items.
        histories: what was known.
        users: int32 [U].
        targets: int32 [U], the item each of them took next.
        depth: candidates of each.
    """
    found = recaller.recommend(users, depth)
    labels = (found.items == targets[:, None]).astype(np.float32)
    return CandidateLists(
        tastes(features, histories)[users], _unit(features), found.items, found.scores, labels
    )


def training_lists(
    recaller: Recaller, train: Interactions, items: ItemTable, features: ItemFeatures, depth: int
) -> CandidateLists:
    """Lists of the last training event of each user, by the recaller fitted without those events.

    The recaller is another one afterwards.

    Raises:
        ConfigError: the recaller was trained before, so that it has seen these events.
    """
    check_untrained({"the recaller": recaller})
    before, users, targets = last_events(train)
    recaller.fit(before, items, features)
    return candidate_lists(recaller, features, Histories.of(before), users, targets, depth)


def _unit(features: ItemFeatures) -> NDArray[np.float32]:
    norms = np.linalg.norm(features.vectors, axis=1, keepdims=True)
    return np.asarray(features.vectors / np.where(norms > 0, norms, 1.0), dtype=np.float32)
