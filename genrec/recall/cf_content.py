"""Weighted hybrid of behaviour and content."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError, DataError
from genrec.features.base import ItemFeatures
from genrec.recall.base import ScoringRecaller
from genrec.recall.content import Content
from genrec.recall.itemknn import ItemKnn


class CfContent(ScoringRecaller):
    """Weighted sum of the scores of a collaborative and a content-based recaller.

    The "weighted hybrid" of Burke (2002), "Hybrid Recommender Systems: Survey and Experiments", section 3.1. For each
    user the scores of either are put on one scale: their mean over the catalogue becomes 0 and their deviation 1.
    Both know liked events only, while the whole history is masked; users who liked nothing get what is most liked.

    Args:
        cf: any scoring recaller; `ItemKnn()` if not given.
        content: any scoring recaller; `Content()` if not given.
        cf_weight: of the first.
        content_weight: of the second.
        min_rating_threshold: events rated lower are not liked; those without a rating are.
        batch_size: users scored at once.
    """

    parts: ClassVar[tuple[str, ...]] = ("cf", "content")

    def __init__(
        self,
        cf: ScoringRecaller | None = None,
        content: ScoringRecaller | None = None,
        cf_weight: float = 0.6,
        content_weight: float = 0.4,
        min_rating_threshold: float = 3.0,
        batch_size: int = 256,
    ) -> None:
        super().__init__(batch_size)
        weights = {"cf_weight": cf_weight, "content_weight": content_weight}
        for name, weight in weights.items():
            if not (np.isfinite(weight) and weight >= 0):
                raise ConfigError(f"CfContent.{name} must be a number of at least 0, got {weight}")
        if not any(weights.values()):
            raise ConfigError("CfContent.cf_weight and CfContent.content_weight must not both be 0")
        if np.isnan(min_rating_threshold):
            raise ConfigError(f"CfContent.min_rating_threshold must be a number, got {min_rating_threshold}")
        self.cf = cf or ItemKnn()
        self.content = content or Content()
        self.cf_weight = cf_weight
        self.content_weight = content_weight
        self.min_rating_threshold = min_rating_threshold

    def _fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> None:
        liked = train
        if train.ratings is not None:
            liked = train.take(
                ~(train.ratings < self.min_rating_threshold)
            )  # no rating compares as not below
        if not len(liked):
            raise DataError(
                f"no training event is rated {self.min_rating_threshold} or higher, so nothing is left to learn from; "
                "lower CfContent.min_rating_threshold"
            )
        for part in (self.cf, self.content):
            part.fit(liked, items, features)

    def _score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        total = self.cf_weight * standardised(self.cf.scores(users))
        total += self.content_weight * standardised(self.content.scores(users))
        return total.astype(np.float32)


def standardised(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scores [B, N] less their mean, by their deviation, row by row; -inf (never) stays and does not count."""
    there = np.isfinite(scores)
    known = np.where(there, scores, 0.0).astype(np.float64)
    n = np.maximum(there.sum(axis=1, keepdims=True), 1)
    centred = np.where(there, known - known.sum(axis=1, keepdims=True) / n, 0.0)
    deviation = np.sqrt(np.square(centred).sum(axis=1, keepdims=True) / n)
    return np.where(there, centred / np.maximum(deviation, 1e-12), -np.inf)
