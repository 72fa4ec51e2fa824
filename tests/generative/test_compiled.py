from __future__ import annotations

import numpy as np
import pytest
import torch
from trees import TableScorer

from genrec.generative import compiled
from genrec.generative.bound import branch_and_bound
from genrec.generative.compiled import CompiledScorer, Steps
from genrec.generative.search import beam_search
from genrec.generative.tree import CodeTree


def test_a_compiled_scorer_answers_as_the_scorer_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "eager")  # traced as for compilation, but not translated
    tree = CodeTree.of(np.random.default_rng(0).integers(0, 6, (100, 3)), (6, 6, 6))
    steps = Steps.compiled()
    for rows in (3, 4):
        scorer = TableScorer.random(tree, rows, seed=rows)
        for found, expected in zip(
            (
                *beam_search(CompiledScorer(scorer, steps), tree, width=7, k=5),
                *branch_and_bound(CompiledScorer(scorer, steps), tree, k=5),
            ),
            (*beam_search(scorer, tree, width=7, k=5), *branch_and_bound(scorer, tree, k=5)),
            strict=True,
        ):
            assert torch.equal(found, expected)
