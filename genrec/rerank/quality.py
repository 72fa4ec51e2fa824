"""A score of items that does not depend on the user: how popular they are, and how well they are rated."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from genrec.errors import ConfigError
from genrec.rerank.base import Context, Reranked, best_first, usable_candidates
from genrec.rerank.catalogue import Catalogue
from genrec.rerank.scales import find_scale


class Quality:
    """Orders by `recall · (1 − weight) + quality · weight`, `quality = 0.4 · popularity + 0.6 · mean rating`.

    All are brought to 0..1. *Recall* is the candidate's score among those of its user (`genrec.rerank.scales`).
    *Popularity* is log(1 + events of the item) over that of the most popular item: counts span orders of magnitude.
    *Mean rating* is shrunk to the mean of all ratings, as if each item had `prior` more ratings of that mean (an
    empirical Bayes estimate), and then placed between the ends of `rating_range`; an item without ratings has the
    mean of all. Where no rating is known at all, quality is popularity.

    Traces `quality/relevance`, `quality/popularity`, `quality/rating` (NaN where no rating is known at all) and
    `quality/quality`.

    Args:
        weight: of quality against recall, in 0..1.
        popularity: its share in quality, in 0..1; the rest is the mean rating's.
        prior: ratings by which a mean is shrunk, at least 0.
        rating_range: the lowest and the highest rating there can be.
        scale: of recall: `range` keeps the distances of scores, `rank` their order only.
    """

    def __init__(
        self,
        weight: float = 0.3,
        popularity: float = 0.4,
        prior: float = 10.0,
        rating_range: tuple[float, float] = (1.0, 5.0),
        scale: str = "range",
    ) -> None:
        for name, value in (("weight", weight), ("popularity", popularity)):
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise ConfigError(f"Quality.{name} must lie between 0 and 1, got {value!r}")
        if not (math.isfinite(prior) and prior >= 0):
            raise ConfigError(f"Quality.prior must be a number of at least 0, got {prior!r}")
        if len(rating_range) != 2 or not -math.inf < rating_range[0] < rating_range[1] < math.inf:
            raise ConfigError(
                f"Quality.rating_range must be the lowest and the highest rating, got {rating_range}"
            )
        self.weight, self.popularity, self.prior = weight, popularity, prior
        self.rating_range = rating_range
        self.scale = scale
        self._scaled = find_scale(scale, "Quality.scale")

    def rerank(
        self, items: NDArray[np.int32], scores: NDArray[np.float32], k: int, context: Context
    ) -> Reranked:
        """The k items of each user with the highest blended scores, which are those of the result."""
        usable = usable_candidates(items, scores, k, context.catalogue.n_items)
        relevance = self._scaled(scores, usable)
        popularity, rating, quality = (one[np.maximum(items, 0)] for one in self.figures(context.catalogue))
        blended = relevance * (1 - self.weight) + quality * self.weight
        trace = {
            "quality/relevance": relevance,
            "quality/popularity": popularity,
            "quality/rating": rating,
            "quality/quality": quality,
        }
        return best_first(items, blended, usable, k, trace)

    def figures(
        self, catalogue: Catalogue
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Popularity, mean rating and quality of every item, 0..1: float32 [N] each.

        Raises:
            ConfigError: the catalogue has no counts of events, or ratings outside `rating_range`.
        """
        if catalogue.counts is None:
            raise ConfigError(
                "Quality needs the number of events of each item; give the catalogue its events"
            )
        logs = np.log1p(catalogue.counts)
        popularity = logs / max(float(logs.max(initial=0.0)), 1e-12)
        sums, counts = catalogue.rating_sums, catalogue.rating_counts
        if sums is None or counts is None or not counts.sum():
            nothing = np.full(len(popularity), np.nan, dtype=np.float32)
            return popularity.astype(np.float32), nothing, popularity.astype(np.float32)
        mean = sums.sum() / counts.sum()
        means = np.full(len(counts), mean)
        np.divide(sums + self.prior * mean, counts + self.prior, out=means, where=counts + self.prior > 0)
        low, high = self.rating_range
        if means.min() < low - 1e-9 or means.max() > high + 1e-9:
            raise ConfigError(
                f"Quality.rating_range is {low:g} to {high:g}, but mean ratings of items go from {means.min():g} to "
                f"{means.max():g}; bind the scale of this dataset's ratings"
            )
        rating = np.clip((means - low) / (high - low), 0.0, 1.0)
        quality = self.popularity * popularity + (1 - self.popularity) * rating
        return popularity.astype(np.float32), rating.astype(np.float32), quality.astype(np.float32)
