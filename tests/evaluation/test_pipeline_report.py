"""The report of a pipeline: numbers under flat keys, a page, a text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from genrec.evaluation.comparison import Comparison, compare
from genrec.evaluation.diversity import trade_off
from genrec.evaluation.pipeline_report import (
    Latency,
    PipelineFigures,
    StageRecall,
    flat_pipeline_metrics,
    pipeline_text,
    write_pipeline_report,
)
from genrec.evaluation.protocol import EvaluationSet, evaluate

STAGES = (StageRecall("recall", 200.0, 0.8), StageRecall("rerank", 20.0, 0.25))
TIMES = (Latency("recall", 1.5, 3.0, 1.0, 2.0), Latency("total", 9.25, 20.0, 8.0, 12.0))


@pytest.fixture
def figures(cases: EvaluationSet, by_scores) -> PipelineFigures:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(40, 3)).astype(np.float32)
    scores = {name: rng.random((60, 40)) for name in ("recall", "pipeline")}
    compared: Comparison = compare(
        [
            evaluate(by_scores(one), cases, (5, 10), method=name, masked=True, vectors=vectors)
            for name, one in scores.items()
        ],
        "test",
        reference="recall",
        n=50,
    )
    lists = compared.evaluations[1].recommendations.items
    curve = trade_off(lambda _: lists, cases, vectors, 10, (1.0, 0.5))
    return PipelineFigures(compared, STAGES, curve, TIMES)


def test_numbers_stand_under_flat_keys(figures: PipelineFigures) -> None:
    flat = flat_pipeline_metrics(figures)
    assert flat["test/pipeline/stage/recall/recall"] == 0.8
    assert flat["test/pipeline/stage/rerank/candidates"] == 20.0
    assert flat["time/test/pipeline/total/p50_ms"] == 9.25
    assert flat["time/test/pipeline/recall/cpu_p99_ms"] == 2.0
    own, alone = (flat[f"test/{name}/masked/ndcg@10"] for name in ("pipeline", "recall"))
    assert flat["test/pipeline/masked/ndcg@10/minus_recall"] == pytest.approx(own - alone)
    assert flat["test/pipeline/masked/lambda/0.5/ndcg@10"] == pytest.approx(own)


def test_the_page_and_the_text_show_them(figures: PipelineFigures, tmp_path: Path) -> None:
    page = write_pipeline_report(
        tmp_path, [figures], "A pipeline", {"Dataset": "small"}, {"valid/x": 0.5, "valid/y": float("nan")}
    )
    text = page.read_text("utf-8")
    for said in ("80.0%", "25.0%", "9.25", "Diversity and accuracy on test", "<svg", "A pipeline", "small"):
        assert said in text
    written = json.loads((tmp_path / "metrics.json").read_text("utf-8"))
    assert written["valid/x"] == 0.5
    assert "valid/y" not in written
    told = pipeline_text(figures)
    assert "recall 80.0%, rerank 25.0%" in told
    assert "p50    9.2 ms" in told


def test_without_curve_and_latency_nothing_is_empty(figures: PipelineFigures, tmp_path: Path) -> None:
    bare = PipelineFigures(figures.comparison, STAGES)
    text = write_pipeline_report(tmp_path, [bare], "A pipeline", {}).read_text("utf-8")
    assert "Latency" not in text
    assert "λ" not in text
