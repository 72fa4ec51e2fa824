"""Validation figures are those of the protocol, and their mean is a mean."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import FakeSplit, FixedScores, events

from genrec.errors import ConfigError
from genrec.evaluation.judge import Judge
from genrec.evaluation.protocol import evaluate, evaluation_set


def test_judge_gives_the_protocols_figures() -> None:
    rng = np.random.default_rng(0)
    split = FakeSplit(*(events(rng, 20, 30, n) for n in (5, 1, 1)))
    cases = evaluation_set(split, "valid")  # type: ignore[arg-type]
    methods = {name: FixedScores(rng.normal(size=(20, 30)), cases) for name in ("generative", "embedding")}
    figures = Judge(k=5, monitor="mean/ndcg@5")(methods, cases)
    for name, method in methods.items():
        expected = evaluate(method, cases, (5,), method=name, masked=True).summary
        assert figures[f"{name}/ndcg@5"] == expected["ndcg@5"]
        assert figures[f"{name}/recall@5"] == expected["recall@5"]
    assert figures["mean/ndcg@5"] == pytest.approx(
        (figures["generative/ndcg@5"] + figures["embedding/ndcg@5"]) / 2
    )


def test_a_bad_cut_off_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Judge\.k"):
        Judge(k=0)


def test_an_unknown_figure_is_refused_before_training() -> None:
    with pytest.raises(ConfigError, match=r"choose one of generative/ndcg@10"):
        Judge(monitor="generative/ndcg@5")
