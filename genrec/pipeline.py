"""The pipeline: recall ─► pre-rank ─► rank ─► re-rank, for one user with a trace or for many at once.

Whoever has no history, or is unknown, gets the most popular items in the place of recall; the other stages
follow as always. Whoever has had every item gets nothing. Lists end early (-1) where there are too few items, be it
that k is larger than the catalogue or that a filter forbids the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from genrec.data.recommendations import Recommendations
from genrec.data.tables import NO_TIMESTAMP
from genrec.errors import DataError
from genrec.evaluation.protocol import Recommender
from genrec.ranking.rows import Rows
from genrec.ranking.store import Ranker
from genrec.recall.base import check_k
from genrec.rerank.base import Context, Reranker, gather
from genrec.stages import CLOCKS, Clock, Request, Run, Settings, Stage, World, joined, ordered, standardised
from genrec.trace import RawId, Trace, traced

POPULARITY = "popularity"
"""The recaller that stands in where there is no history, as traces call it."""


class PreRanker(Protocol):
    """Scores all candidates cheaply."""

    def __call__(
        self, users: NDArray[np.int32], items: NDArray[np.int32], scores: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Scores [U, C] of candidates [U, C], of which recall said `scores`; -inf where the item is -1."""
        ...


@runtime_checkable
class Explaining(Protocol):
    """A recaller of several channels that can say which of them proposed an item (`genrec.recall.merged`)."""

    @property
    def names(self) -> tuple[str, ...]:
        """The channels."""
        ...

    def explained(
        self, users: NDArray[np.int32], k: int, *, exclude_seen: bool = True
    ) -> tuple[Recommendations, NDArray[np.int32]]:
        """The lists, and the rank of each item in each channel's, [U, k, C], 0 where it is not there."""
        ...


class Pipeline:
    """Recall, and what follows it.

    Args:
        recaller: fitted to `world.log`; one of several channels explains itself (`genrec.recall.merged.Merged`).
        world: what is known of items and users.
        ranker: orders candidates by their features at the request's time; None leaves that out.
        preranker: thins candidates out for the ranker; None leaves that out.
        reranker: makes the final order; None leaves that out.
        settings: how they work together.
    """

    def __init__(
        self,
        recaller: Recommender,
        world: World,
        *,
        ranker: Ranker | None = None,
        preranker: PreRanker | None = None,
        reranker: Reranker | None = None,
        settings: Settings | None = None,
    ) -> None:
        if len(world.items) != world.log.n_items or len(world.user_ids) != world.log.n_users:
            raise DataError(
                f"the log is of {world.log.n_users} users and {world.log.n_items} items, the tables are of "
                f"{len(world.user_ids)} and {len(world.items)}; give the pipeline those of one dataset"
            )
        self.recaller, self.world, self.reranker = recaller, world, reranker
        self.preranker = preranker
        self.ranker = None if ranker is None else ranker.with_log(world.log)
        self.settings = settings or Settings()
        counts = world.log.item_counts()
        self._popular = np.argsort(-counts, kind="stable").astype(np.int32)
        self._popularity = counts[self._popular].astype(np.float32)

    def recommend(self, users: NDArray[np.int32], k: int, *, exclude_seen: bool = True) -> Recommendations:
        """The k best items of each user, by dense index: what `genrec.evaluation.protocol.evaluate` judges."""
        users = np.asarray(users, dtype=np.int32)
        last = self.run(self.request(users, exclude_seen=exclude_seen), k).stages[-1]
        return Recommendations(users, last.items, last.scores)

    def recommend_for_user(
        self,
        user_id: RawId,
        topk_recall: int = 200,
        topk_final: int = 20,
        lambda_mmr: float | None = 0.5,
        *,
        now: int | None = None,
    ) -> Trace:
        """The best items of a user with all that led to them.

        Args:
            user_id: raw id; one that is unknown gets the fallback.
            topk_recall: candidates of recall; one above the size of the catalogue takes all of it.
            topk_final: items to recommend.
            lambda_mmr: weight of relevance in MMR, where the re-ranker has one; None is that of the re-ranker.
            now: time of the request in seconds; `Settings.clock` if not given. What happens at or after it is not read
                by the ranker.

        Raises:
            ConfigError: an argument is out of range.
        """
        check_k(topk_recall)
        index = self.world.index_of.get(str(user_id), -1)
        request = self.request(np.array([index], dtype=np.int32), now=now, lambda_mmr=lambda_mmr)
        return traced(self.run(request, topk_final, topk_recall), 0, user_id, self.world)

    def request(
        self,
        users: NDArray[np.int32],
        *,
        now: int | None = None,
        exclude_seen: bool = True,
        lambda_mmr: float | None = None,
    ) -> Request:
        """A request of users at a time, by `Settings.clock` if none is given."""
        if now is not None:
            return Request(users, np.full(len(users), now, dtype=np.int64), exclude_seen, lambda_mmr)
        last = CLOCKS[self.settings.clock](self.world.last_times)[users]
        times = np.where(last == NO_TIMESTAMP, NO_TIMESTAMP, last + 1)
        return Request(users, times, exclude_seen, lambda_mmr)

    def run(self, request: Request, k: int, topk_recall: int | None = None) -> Run:
        """All stages for all users of a request, block by block."""
        check_k(k)
        size = self.settings.batch_size
        blocks = [
            self._run(
                replace(
                    request,
                    users=request.users[start : start + size],
                    times=request.times[start : start + size],
                ),
                k,
                topk_recall or self.settings.topk_recall,
            )
            for start in range(0, max(len(request.users), 1), size)
        ]
        return joined(request, blocks)

    def _run(self, request: Request, k: int, topk_recall: int) -> Run:
        clock = Clock()
        recalled, channels, fallback = self._recall(request, max(k, topk_recall))
        stages = [clock.timed(recalled)]
        if self.preranker is not None:
            stages.append(clock.timed(self._preranked(request, stages[-1], k)))
        if self.ranker is not None:
            stages.append(clock.timed(self._ranked(request, stages[-1])))
        stages.append(clock.timed(self.reranked(request, stages[-1], k)))
        return Run(request, tuple(stages), channels, fallback)

    def _recall(
        self, request: Request, k: int
    ) -> tuple[Stage, Mapping[str, NDArray[np.int32]], NDArray[np.bool_]]:
        users = request.users
        known = np.flatnonzero((users >= 0) & (self.world.histories.lengths[users] > 0))
        items = np.full((len(users), k), -1, dtype=np.int32)
        scores = np.full((len(users), k), -np.inf, dtype=np.float32)
        width = min(k, len(self._popular))
        items[:, :width], scores[:, :width] = self._popular[:width], self._popularity[:width]
        fallback = np.ones(len(users), dtype=np.bool_)
        fallback[known] = False
        names = self.recaller.names if isinstance(self.recaller, Explaining) else (self.settings.recaller,)
        ranks = np.zeros((len(users), k, len(names)), dtype=np.int32)
        if len(known):
            found, ranks[known] = self._proposals(users[known], k, request.exclude_seen)
            items[known], scores[known] = found.items, found.scores
        channels = {name: ranks[:, :, number] for number, name in enumerate(names)}
        if fallback.any():
            order = np.where(items >= 0, np.arange(1, k + 1), 0)
            channels[POPULARITY] = np.where(fallback[:, None], order, 0).astype(np.int32)
        places = np.where(items >= 0, np.arange(k), -1)
        return Stage("recall", items, scores, places), channels, fallback

    def _proposals(
        self, users: NDArray[np.int32], k: int, exclude_seen: bool
    ) -> tuple[Recommendations, NDArray[np.int32]]:
        if isinstance(self.recaller, Explaining):
            return self.recaller.explained(users, k, exclude_seen=exclude_seen)
        found = self.recaller.recommend(users, k, exclude_seen=exclude_seen)
        return found, np.where(found.items >= 0, np.arange(1, k + 1), 0)[:, :, None].astype(np.int32)

    def _preranked(self, request: Request, before: Stage, k: int) -> Stage:
        assert self.preranker is not None
        scores = self.preranker(request.users, before.items, before.scores)
        return ordered("prerank", before, scores, max(self.settings.keep, k), {})

    def _ranked(self, request: Request, before: Stage) -> Stage:
        assert self.ranker is not None
        width = before.items.shape[1]
        there = before.items >= 0
        rows = Rows(
            np.repeat(request.users, width), before.items.reshape(-1), np.repeat(request.times, width)
        ).take(there.reshape(-1))
        said = self.ranker(rows)
        figures = {
            name: np.full(there.shape, np.nan, dtype=np.float32)
            for name in ("rank/logit", "rank/probability", *(f"rank/{task}" for task in said.tasks))
        }
        values: tuple[NDArray[np.floating], ...] = (said.logits, said.probabilities, *said.tasks.values())
        for figure, value in zip(figures.values(), values, strict=True):
            figure[there] = value
        weight = self.settings.rank_weight
        blended = weight * standardised(figures["rank/logit"], there)
        blended += (1 - weight) * standardised(before.scores, there)
        return ordered("rank", before, blended.astype(np.float32), width, figures)

    def reranked(self, request: Request, before: Stage, k: int) -> Stage:
        """The final k items of candidates; without a re-ranker the k best of them."""
        if self.reranker is None:
            return ordered("rerank", before, before.scores, k, {})
        users = request.users
        known = np.flatnonzero(users >= 0) if request.exclude_seen else np.zeros(0, dtype=np.int64)
        row, item = self.world.histories.rows(users[known])
        latest = int(request.times.max(initial=NO_TIMESTAMP))
        now = None if latest == NO_TIMESTAMP else latest
        context = Context(self.world.catalogue, (known[row], item), now, request.lambda_mmr)
        done = self.reranker.rerank(before.items, before.scores, k, context)
        return Stage(
            "rerank", done.items, done.scores, gather(before.places, done.places), figures=dict(done.trace)
        )
