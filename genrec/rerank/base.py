"""The one interface behind which every re-ranker stands, and the chain of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from genrec.errors import ConfigError
from genrec.rerank.catalogue import Catalogue

_MISSING: Mapping[str, float | bool] = {"f": np.nan, "i": -1, "b": False}  # by kind of number


@dataclass(frozen=True)
class Context:
    """What a request is answered with besides candidates.

    Attributes:
        catalogue: what is known of items.
        seen: (row of the candidates int64 [M], item [M]) of all that users have in their histories, as
            `Histories.rows` gives it; None if it is not known.
        now: time of the request in seconds, or None.
        lambda_mmr: weight of relevance in MMR for this request; None is that of the re-ranker.
    """

    catalogue: Catalogue
    seen: tuple[NDArray[np.int64], NDArray[np.integer]] | None = None
    now: int | None = None
    lambda_mmr: float | None = None


@dataclass(frozen=True)
class Reranked:
    """Final lists, and what led to them.

    Attributes:
        items: int32 [U, k], best first, distinct; -1 after the last where a user has fewer than k.
        scores: float32 [U, k], non-increasing along a row; -inf where the item is -1.
        places: int64 [U, k], the column of the candidates that each item comes from; -1 where there is none.
        trace: figures of each item [U, k] by `<re-ranker>/<figure>`; NaN, -1 or False where there is none.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    places: NDArray[np.int64]
    trace: Mapping[str, NDArray[Any]] = field(default_factory=dict)


class Reranker(Protocol):
    """Puts candidates into their final order."""

    def rerank(
        self, items: NDArray[np.int32], scores: NDArray[np.float32], k: int, context: Context
    ) -> Reranked:
        """The k items of each user, of candidates [U, C] with scores [U, C].

        Candidates of -1 and those with a score of -inf are never chosen; of an item that is there twice, the better
        one counts. Scores must not be NaN.
        """
        ...


class Chain:
    """Re-rankers one after the other: each orders all that the one before has left, and the last one cuts to k.

    Later ones may undo what earlier ones have promised, so filters stand before `Mmr`, and `GenreQuota` last.

    Args:
        stages: at least one.
    """

    def __init__(self, stages: Sequence[Reranker]) -> None:
        if not stages:
            raise ConfigError("Chain.stages is empty; bind at least one re-ranker, or none at all instead")
        self.stages = tuple(stages)

    def rerank(
        self, items: NDArray[np.int32], scores: NDArray[np.float32], k: int, context: Context
    ) -> Reranked:
        """The k items of each user; places and traces of all stages are those of the items that are left."""
        places = np.broadcast_to(np.arange(items.shape[1], dtype=np.int64), items.shape)
        trace: dict[str, NDArray[Any]] = {}
        widths = [max(items.shape[1], 1)] * (len(self.stages) - 1) + [k]
        for stage, width in zip(self.stages, widths, strict=True):
            done = stage.rerank(items, scores, width, context)
            places = gather(places, done.places)
            trace = {name: gather(values, done.places) for name, values in trace.items()} | dict(done.trace)
            items, scores = done.items, done.scores
        return Reranked(items, scores, places, trace)


def usable_candidates(
    items: NDArray[np.int32], scores: NDArray[np.float32], k: int, n_items: int
) -> NDArray[np.bool_]:
    """Which candidates may be chosen: bool [U, C].

    Raises:
        ConfigError: k is not a positive count.
        ValueError: shapes differ, a score is NaN or +inf, or an item is not in the catalogue, which are bugs.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise ConfigError(f"k, the length of the list, must be at least 1, got {k!r}")
    if items.ndim != 2 or items.shape != scores.shape:
        raise ValueError(f"need candidates [U, C] and scores of them, got {items.shape} and {scores.shape}")
    usable: NDArray[np.bool_] = (items >= 0) & (scores > -np.inf)
    if not np.isfinite(scores[usable]).all() or np.isnan(scores[items >= 0]).any():
        raise ValueError("scores of candidates must be numbers, or -inf, and some are not")
    if items.size and int(items.max()) >= n_items:
        raise ValueError(f"candidates name item {items.max()} of a catalogue of {n_items} items")
    return usable


def best_first(
    items: NDArray[np.int32],
    scores: NDArray[np.floating],
    usable: NDArray[np.bool_],
    k: int,
    trace: Mapping[str, NDArray[Any]] | None = None,
) -> Reranked:
    """The k usable candidates with the highest scores; equal scores keep their order, an item counts once.

    Args:
        items: [U, C].
        scores: [U, C].
        usable: bool [U, C].
        k: length of the lists.
        trace: figures of the candidates [U, C].
    """
    values = np.where(usable, scores, -np.inf).astype(np.float32)
    order = np.argsort(-values, axis=1, kind="stable")
    ordered = np.take_along_axis(items, order, axis=1)
    kept = np.take_along_axis(usable, order, axis=1) & ~_repeated(ordered)
    order = np.take_along_axis(order, np.argsort(~kept, axis=1, kind="stable"), axis=1)[:, :k]
    places = np.full((len(items), k), -1, dtype=np.int64)
    places[:, : order.shape[1]] = np.where(np.arange(order.shape[1]) < kept.sum(axis=1)[:, None], order, -1)
    chosen = gather(values, places)
    return Reranked(
        items=gather(items, places),
        scores=np.where(places >= 0, chosen, -np.inf).astype(np.float32),
        places=places,
        trace={name: gather(one, places) for name, one in (trace or {}).items()},
    )


def gather(values: NDArray[Any], places: NDArray[np.int64]) -> NDArray[Any]:
    """`values` [U, C] at `places` [U, k]; NaN, -1 or False where a place is -1."""
    missing = _MISSING[values.dtype.kind]
    if not values.shape[1]:
        return np.full(places.shape, missing, dtype=values.dtype)
    found = np.take_along_axis(values, np.maximum(places, 0), axis=1)
    return np.where(places >= 0, found, np.asarray(missing, dtype=values.dtype))


def _repeated(items: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which items stand further left in their row, too: bool [U, C]."""
    order = np.argsort(items, axis=1, kind="stable")
    ordered = np.take_along_axis(items, order, axis=1)
    again = np.zeros(items.shape, dtype=np.bool_)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    found = np.empty_like(again)
    np.put_along_axis(found, order, again, axis=1)
    return found
