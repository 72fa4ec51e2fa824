"""A generative model as an entrant of a comparison, on ML-100K: what the report gets from it alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from genrec.bench import Bench, K
from genrec.data.splits import LeaveOneOut
from genrec.data.tables import Dataset
from genrec.entrant import Entrant
from genrec.evaluation.report import ReportData, RunFacts, report_sections
from genrec.features.metadata import Genres
from genrec.generative.timeline import Timeline
from genrec.generative.tree import CodeTree
from genrec.recall.ease import Ease
from genrec.recall.vector_index import FaissIndex
from genrec.tokenizer.collisions import UniqueAssignment
from genrec.tokenizer.random_ids import RandomIds
from genrec.tokenizer.semantic_ids import SemanticIds
from genrec.tokenizer.store import StoredIds

ALONE = {
    "Exact search against beams",
    "Accuracy by level",
    "Index against exact dot product",
    "Tokenizer quality",
}


@pytest.fixture(scope="module")
def bench(ml100k: Dataset) -> Bench:
    split = LeaveOneOut()(ml100k.interactions)
    return Bench(split, ml100k.items, Genres().encode(ml100k.items, split.train), (5, K), max_users=40)


@pytest.fixture(scope="module")
def entrant(bench: Bench) -> Entrant:
    torch.manual_seed(0)
    codes = RandomIds(16, 3).tokenize(torch.zeros(len(bench.items), 1), UniqueAssignment()).codes
    ids = SemanticIds(codes, (16, 16, 16), "RandomIds", "catalogue", {"collision_rate": 0.25})
    model = Timeline(CodeTree.of(codes, ids.sizes), embed_dim=8, width=8, heads=2, layers=1, max_length=10)
    assert bench.features is not None
    stored = StoredIds(ids, bench.features, Path("out/ml100k/tokenizer"), "0123456789abcdef")
    return Entrant(stored, model.eval(), width=20, memory=Ease())


def test_the_report_gains_the_sections_of_the_model(bench: Bench, entrant: Entrant) -> None:
    methods = entrant.methods(bench)
    assert list(methods) == ["generative", "embedding", "hybrid", "hybrid-heads"]
    comparison = bench.run(methods, "test", (True,))
    assert comparison.reference == "generative"
    facts = entrant.facts(methods)
    assert facts["Semantic ids"] == "out/ml100k/tokenizer, identity 0123456789ab"
    assert facts["Memory of the hybrid"] == "Ease"
    assert "chosen on validation" in facts["Hybrid"]
    report = ReportData(
        RunFacts("ml100k", str(bench.split), "0", "today", facts), bench.cases("test"), comparison
    )
    probed = entrant.probed(report, bench, [K], {"flat": FaissIndex("Flat")})
    titles, more = ({one.title for one in report_sections(data)} for data in (report, probed))
    assert more - titles == ALONE
    assert [one.width for one in probed.search] == [K, None]
    assert [one.level for one in probed.levels] == [1, 2, 3]


def test_the_figures_are_those_of_the_ids(entrant: Entrant) -> None:
    assert entrant.figures() == {"tokenizer/collision_rate": 0.25}
    assert entrant.facts({}).keys() == {"Semantic ids", "Model", "Parameters"}
