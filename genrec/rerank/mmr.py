"""Maximal marginal relevance: each next item is relevant, and unlike those already chosen.

Carbonell & Goldstein 1998, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
Summaries".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrec.errors import ConfigError
from genrec.rerank.base import Context, Reranked, gather, usable_candidates
from genrec.rerank.scales import find_scale

_CELLS = (
    1 << 18
)  # coordinates of candidates at once: 2 MB of float64, so that they stay in the processor's cache


class Mmr:
    """Chooses greedily the candidate with the largest `λ·relevance − (1−λ)·(largest similarity to the chosen)`.

    Relevance is the candidate's score, brought to 0..1 among the candidates of its user (`genrec.rerank.scales`).
    Similarity is the cosine of item vectors, -1..1, and 0 where an item has none. While nothing is chosen it counts
    as -1, its least value, for all alike: the first item is the most relevant one, and scores never rise along a
    list. Equal candidates go to the one that stands first. Scores of the result are the values that were maximised.

    An item's largest similarity is a running maximum, so K of C candidates take K · C cosines instead of K² · C / 2.
    Cosines are summed in float64 and rounded to float32, so that equal vectors tie whatever the order of summation.

    Traces `mmr/relevance` (0..1); `mmr/similarity`, the largest one when the item was chosen, NaN for the first; and
    `mmr/neighbour`, the chosen item it was most similar to (the first of equals), -1 for the first and for items
    without a vector.

    Args:
        lambda_mmr: weight of relevance in 0..1; 1 keeps the order of relevance, 0 looks at similarity only.
        scale: of relevance: `range` keeps the distances of scores, `rank` their order only.
    """

    def __init__(self, lambda_mmr: float = 0.5, scale: str = "range") -> None:
        self.lambda_mmr = check_lambda(lambda_mmr, "Mmr.lambda_mmr")
        self.scale = scale
        self._scaled = find_scale(scale, "Mmr.scale")

    def rerank(
        self, items: NDArray[np.int32], scores: NDArray[np.float32], k: int, context: Context
    ) -> Reranked:
        """The k items of each user, in the order in which they were chosen.

        Raises:
            ConfigError: the catalogue has no vectors, or the request's `lambda_mmr` is out of range.
        """
        unit, known = context.catalogue.unit, context.catalogue.known
        if unit is None or known is None:
            raise ConfigError(
                "Mmr needs item vectors, and the catalogue has none; give it some, or unbind Mmr"
            )
        weight = self.lambda_mmr
        if context.lambda_mmr is not None:
            weight = check_lambda(context.lambda_mmr, "lambda_mmr")
        usable = usable_candidates(items, scores, k, context.catalogue.n_items)
        relevance = self._scaled(scores, usable)
        found = _Lists.empty(len(items), k)
        size = max(1, _CELLS // max(1, items.shape[1] * unit.shape[1]))
        for start in range(0, len(items) if items.shape[1] else 0, size):
            block = slice(start, start + size)
            gain = np.where(usable[block], weight * relevance[block].astype(np.float64), -np.inf)
            _choose(items[block], gain, 1.0 - weight, unit, found.rows(block))
        chosen = gather(items, found.places)
        trace: dict[str, NDArray[Any]] = {
            "mmr/relevance": gather(relevance, found.places),
            "mmr/similarity": found.similarity,
            "mmr/neighbour": np.where(known[chosen] & (chosen >= 0), found.neighbour, np.int32(-1)),
        }
        return Reranked(chosen, found.scores, found.places, trace)


@dataclass(frozen=True)
class _Lists:
    """Lists being filled, column by column.

    Attributes:
        places: int64 [U, k], columns of the candidates.
        scores: float32 [U, k], the values that were maximised.
        similarity: float32 [U, k], the largest one to the items before.
        neighbour: int32 [U, k], the item it is to.
    """

    places: NDArray[np.int64]
    scores: NDArray[np.float32]
    similarity: NDArray[np.float32]
    neighbour: NDArray[np.int32]

    @classmethod
    def empty(cls, users: int, k: int) -> _Lists:
        """Nothing chosen yet."""
        shape = (users, k)
        return cls(
            places=np.full(shape, -1, dtype=np.int64),
            scores=np.full(shape, -np.inf, dtype=np.float32),
            similarity=np.full(shape, np.nan, dtype=np.float32),
            neighbour=np.full(shape, -1, dtype=np.int32),
        )

    def rows(self, block: slice) -> _Lists:
        """Views of some users' lists: what is written to them is written here."""
        return _Lists(self.places[block], self.scores[block], self.similarity[block], self.neighbour[block])


def _choose(
    items: NDArray[np.int32],
    gain: NDArray[np.float64],
    cost: float,
    unit: NDArray[np.float32],
    lists: _Lists,
) -> None:
    """Fill `lists` greedily.

    Args:
        items: [B, C], C at least 1.
        gain: λ · relevance [B, C], -inf where a candidate is not usable; candidates are struck off here.
        cost: 1 - λ.
        unit: unit or zero vectors [N, D].
        lists: of these B users.
    """
    rows = np.arange(len(items))
    vectors = unit[np.maximum(items, 0)].astype(np.float64)  # [B, C, D]
    nearest = np.full(items.shape, -1.0)  # largest cosine to the chosen
    neighbour = np.full(items.shape, -1, dtype=np.int32)
    steps = min(lists.places.shape[1], items.shape[1])
    for step in range(steps):
        values = gain - cost * nearest
        best = values.argmax(axis=1)  # [B], the first of equals
        value = values[rows, best]
        found = value > -np.inf
        if not found.any():
            return
        lists.places[found, step] = best[found]
        lists.scores[:, step] = value
        lists.neighbour[found, step] = neighbour[rows, best][found]
        if step:
            lists.similarity[found, step] = nearest[rows, best][found]
        if step + 1 == steps:
            return
        item = items[rows, best]
        gain[items == item[:, None]] = -np.inf
        cosine = np.matmul(vectors, vectors[rows, best][:, :, None])[:, :, 0]  # [B, C]
        cosine = np.minimum(cosine.astype(np.float32), 1.0)
        neighbour = np.where((cosine > nearest) | (neighbour < 0), item[:, None], neighbour)
        nearest = np.maximum(nearest, cosine)


def check_lambda(value: float, name: str) -> float:
    """The weight, or ConfigError with its name unless it lies in 0..1."""
    if isinstance(value, bool) or not (math.isfinite(value) and 0 <= value <= 1):
        raise ConfigError(f"{name} must lie between 0 (only diversity) and 1 (only relevance), got {value!r}")
    return float(value)
