"""The pipeline under the protocol: against its own recall, what each stage loses, what it costs, what λ trades."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from genrec.data.recommendations import Recommendations
from genrec.errors import ConfigError
from genrec.evaluation.comparison import Comparison, compare
from genrec.evaluation.diversity import LAMBDAS, Point, trade_off
from genrec.evaluation.metrics import accuracy
from genrec.evaluation.pipeline_report import Latency, StageRecall
from genrec.evaluation.protocol import EvaluationSet, evaluate
from genrec.pipeline import Pipeline
from genrec.stages import Run, Stage, ordered, standardised

METHOD, ALONE = "pipeline", "recall"


@dataclass(frozen=True)
class Judged:
    """A pipeline on the users of one part.

    Attributes:
        run: all lists.
        comparison: of the pipeline with its recall alone, the reference, both masked.
        stages: share of the targets that are still there after each stage.
        curve: accuracy and diversity by λ of MMR; empty where there are no vectors or no re-ranker.
    """

    run: Run
    comparison: Comparison
    stages: tuple[StageRecall, ...]
    curve: tuple[Point, ...]


def judge_pipeline(
    pipeline: Pipeline,
    cases: EvaluationSet,
    ks: Sequence[int] = (5, 10, 20),
    *,
    k: int = 10,
    lambdas: Sequence[float] = LAMBDAS,
) -> Judged:
    """All users once through all stages, and every figure of it.

    Args:
        pipeline: of the same part as the cases.
        cases: who is judged, and by what.
        ks: cut-offs.
        k: the one of the curve.
        lambdas: of the curve.
    """
    features = pipeline.world.features
    vectors = None if features is None else features.vectors
    run = pipeline.run(pipeline.request(cases.users), max(ks))
    seconds = {ALONE: run.stages[0].seconds, METHOD: sum(stage.seconds for stage in run.stages)}
    lists = {ALONE: run.stages[0], METHOD: run.stages[-1]}
    evaluations = [
        replace(
            evaluate(_Lists(stage), cases, ks, method=name, masked=True, vectors=vectors),
            seconds=seconds[name],
        )
        for name, stage in lists.items()
    ]
    curve: tuple[Point, ...] = ()
    if vectors is not None and pipeline.reranker is not None and lambdas:
        candidates = run.stages[-2]

        def order(value: float) -> NDArray[np.int32]:
            return pipeline.reranked(replace(run.request, lambda_mmr=value), candidates, k).items

        curve = trade_off(order, cases, vectors, k, lambdas)
    return Judged(run, compare(evaluations, cases.part, reference=ALONE), stage_recall(run, cases), curve)


@dataclass(frozen=True)
class _Lists:
    """Lists that are there already, as a recommender."""

    stage: Stage

    def recommend(self, users: NDArray[np.int32], k: int, *, exclude_seen: bool = True) -> Recommendations:
        """The first k."""
        return Recommendations(users, self.stage.items[:, :k], self.stage.scores[:, :k])


def stage_recall(run: Run, cases: EvaluationSet) -> tuple[StageRecall, ...]:
    """Share of the cases' targets among what each stage of a run left."""
    found = []
    for stage in run.stages:
        hit = cases.hits(Recommendations(cases.users, stage.items, stage.scores))
        width = float((stage.items >= 0).sum(axis=1).mean()) if len(stage.items) else 0.0
        found.append(StageRecall(stage.name, width, float(hit.sum() / len(cases.target_items))))
    return tuple(found)


def latency(pipeline: Pipeline, users: NDArray[np.int32], k: int = 20) -> tuple[Latency, ...]:
    """What single requests cost, stage by stage and in all; the first one warms up and is not counted.

    Args:
        pipeline: loaded.
        users: int32 [U], asked for one by one.
        k: items of each list.
    """
    if not len(users):
        raise ConfigError("latency needs users to ask for; give at least one")
    names: tuple[str, ...] = ()
    rows = []
    for number, user in enumerate([users[0], *users]):
        run = pipeline.run(pipeline.request(np.array([user], dtype=np.int32)), k)
        if number:
            rows.append([(stage.seconds, stage.cpu_seconds) for stage in run.stages])
        names = tuple(stage.name for stage in run.stages)
    times = 1000 * np.array(rows)  # [U, stages, 2] in ms
    times = np.concatenate([times, times.sum(axis=1, keepdims=True)], axis=1)
    middle, late = np.quantile(times, [0.5, 0.99], axis=0)  # [stages + 1, 2]
    return tuple(
        Latency(name, *map(float, (middle[place, 0], late[place, 0], middle[place, 1], late[place, 1])))
        for place, name in enumerate((*names, "total"))
    )


def weigh_ranker(
    pipeline: Pipeline, cases: EvaluationSet, weights: Sequence[float], k: int = 10
) -> dict[float, float]:
    """NDCG@k of ranking by each weight of the ranker against the stage before it, re-ranking left out.

    Args:
        pipeline: with a ranker, of the validation part.
        cases: validation users.
        weights: to try, in 0..1.
        k: cut-off.

    Raises:
        ConfigError: there is no ranker, or no weight.
    """
    if pipeline.ranker is None or not weights:
        raise ConfigError("weigh_ranker needs a pipeline with a ranker, and weights to try")
    stages = pipeline.run(pipeline.request(cases.users), k).stages
    before, ranked = stages[-3], stages[-2]
    there = ranked.items >= 0
    column = np.full((len(before.items), stages[0].items.shape[1] + 1), -1)  # of `before`, by place in recall
    rows = np.arange(len(column))[:, None]
    column[rows, before.places] = np.arange(before.items.shape[1])  # the place -1 is the last, unused
    own = before.scores[rows, column[rows, ranked.places]]
    logits, recalled = standardised(ranked.figures["rank/logit"], there), standardised(own, there)
    found = {}
    for weight in weights:
        blend = (weight * logits + (1 - weight) * recalled).astype(np.float32)
        lists = ordered("rank", ranked, blend, k, {})
        hit = cases.hits(Recommendations(cases.users, lists.items, lists.scores))
        found[weight] = float(accuracy(hit, cases.n_targets, [k])[f"ndcg@{k}"].mean())
    return found
