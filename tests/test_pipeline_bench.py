"""The pipeline under the protocol: its own recall beside it, what stages keep, what requests cost."""

from __future__ import annotations

import numpy as np
import pytest
from pipeline_world import dataset, merged, pipeline, ranker

from genrec.data.splits import LeaveOneOut
from genrec.errors import ConfigError
from genrec.evaluation.protocol import EvaluationSet, evaluate, evaluation_set
from genrec.features.metadata import Genres
from genrec.pipeline import Pipeline
from genrec.pipeline_bench import judge_pipeline, latency, stage_recall, weigh_ranker
from genrec.rerank.mmr import Mmr
from genrec.stages import Settings, World

DATA = dataset()
SPLIT = LeaveOneOut()(DATA.interactions)


@pytest.fixture(scope="module")
def cases() -> EvaluationSet:
    return evaluation_set(SPLIT, "valid")


@pytest.fixture(scope="module")
def judged_by() -> Pipeline:
    world = World(DATA.items, DATA.users.ids, SPLIT.train, Genres().encode(DATA.items, SPLIT.train))
    return Pipeline(
        merged().fit(SPLIT.train, DATA.items),
        world,
        ranker=ranker(DATA, SPLIT.train),
        reranker=Mmr(0.7),
        settings=Settings(topk_recall=12, rank_weight=0.5),
    )


def test_it_is_compared_with_its_own_recall(judged_by: Pipeline, cases: EvaluationSet) -> None:
    judged = judge_pipeline(judged_by, cases, (5, 10), k=5, lambdas=(1.0, 0.5))
    own = evaluate(judged_by, cases, (5, 10), method="x", masked=True)
    alone = evaluate(judged_by.recaller, cases, (5, 10), method="y", masked=True)
    found = {one.method: one for one in judged.comparison.evaluations}
    assert judged.comparison.reference == "recall"
    for name, expected in (("pipeline", own), ("recall", alone)):
        for metric, values in expected.per_user.items():
            np.testing.assert_array_equal(found[name].per_user[metric], values)
    apart = judged.comparison.differences["pipeline", True]["ndcg@5"]
    assert apart.mean == pytest.approx(own.summary["ndcg@5"] - alone.summary["ndcg@5"])
    assert found["recall"].seconds < found["pipeline"].seconds
    assert "ild@5" in found["pipeline"].summary


def test_the_curve_re_ranks_the_same_candidates(judged_by: Pipeline, cases: EvaluationSet) -> None:
    judged = judge_pipeline(judged_by, cases, (5, 10), k=5, lambdas=(1.0, 0.7))
    plain = pipeline_without_mmr(judged_by)
    assert [point.lambda_mmr for point in judged.curve] == [1.0, 0.7]
    assert judged.curve[0].ndcg.mean == pytest.approx(
        evaluate(plain, cases, (5,), method="x", masked=True).summary["ndcg@5"]
    )
    own = judged.comparison.evaluations[1].summary["ndcg@5"]
    assert judged.curve[1].ndcg.mean == pytest.approx(own, abs=1e-12), "0.7 is its own λ"
    assert judge_pipeline(plain, cases, (5,), k=5).curve == ()


def pipeline_without_mmr(one: Pipeline) -> Pipeline:
    return Pipeline(one.recaller, one.world, ranker=one.ranker, settings=one.settings)


def test_stages_can_only_lose_targets(judged_by: Pipeline, cases: EvaluationSet) -> None:
    run = judged_by.run(judged_by.request(cases.users), 5)
    stages = stage_recall(run, cases)
    assert [one.stage for one in stages] == ["recall", "rank", "rerank"]
    widths = [float((stage.items >= 0).sum(axis=1).mean()) for stage in run.stages]
    assert [one.candidates for one in stages] == widths
    assert widths[0] == widths[1] > widths[2]
    targets = [set(cases.target_items[a:b]) for a, b in zip(*offsets(cases), strict=True)]
    kept = [
        sum(len(set(row) & wanted) for row, wanted in zip(stage.items.tolist(), targets, strict=True))
        for stage in run.stages
    ]
    assert [one.share for one in stages] == pytest.approx([one / len(cases.target_items) for one in kept])
    assert stages[0].share == stages[1].share > stages[2].share > 0


def offsets(cases: EvaluationSet) -> tuple[np.ndarray, np.ndarray]:
    return cases.target_offsets[:-1], cases.target_offsets[1:]


def test_weights_of_the_ranker_are_judged_as_the_pipeline_ranks(
    judged_by: Pipeline, cases: EvaluationSet
) -> None:
    tried = weigh_ranker(judged_by, cases, (0.0, 0.3, 1.0), 5)
    for weight, ndcg in tried.items():
        settings = Settings(topk_recall=12, rank_weight=weight)
        plain = Pipeline(judged_by.recaller, judged_by.world, ranker=judged_by.ranker, settings=settings)
        again = evaluate(plain, cases, (5,), method="x", masked=True)
        assert ndcg == pytest.approx(again.summary["ndcg@5"])
    with pytest.raises(ConfigError, match="weigh_ranker"):
        weigh_ranker(judged_by, cases, ())
    with pytest.raises(ConfigError, match="with a ranker"):
        weigh_ranker(pipeline(ranked=False), cases, (0.5,))


def test_latency_is_told_by_stage(judged_by: Pipeline, cases: EvaluationSet) -> None:
    found = latency(judged_by, cases.users[:5], 5)
    assert [one.stage for one in found] == ["recall", "rank", "rerank", "total"]
    assert all(0 < one.p50 <= one.p99 for one in found)
    assert all(0 <= one.cpu_p50 <= one.cpu_p99 for one in found)
    assert found[-1].p99 <= sum(one.p99 for one in found[:-1]) * 1.001
    with pytest.raises(ConfigError, match="at least one"):
        latency(judged_by, cases.users[:0])
