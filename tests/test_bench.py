"""The bench on ML-100K: parts are kept apart, the hybrid's weight comes from validation, probes agree with metrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genrec.bench import (
    DENSE,
    MEMORY,
    Bench,
    K,
    index_losses,
    level_accuracy,
    model_methods,
    ndcg,
    search_widths,
)
from genrec.data.splits import LeaveOneOut, Split
from genrec.data.tables import Dataset
from genrec.errors import ArtifactError
from genrec.features.metadata import Genres
from genrec.generative.timeline import Timeline
from genrec.generative.tree import CodeTree
from genrec.recall.ease import Ease
from genrec.recall.generative import GenerativeRecaller
from genrec.recall.hybrid import HybridRecaller, grid
from genrec.recall.merged import Merged
from genrec.recall.popularity import Popularity
from genrec.recall.trained import Trained
from genrec.recall.vector_index import FaissIndex
from genrec.tokenizer.collisions import UniqueAssignment
from genrec.tokenizer.random_ids import RandomIds


@pytest.fixture(scope="module")
def split(ml100k: Dataset) -> Split:
    return LeaveOneOut()(ml100k.interactions)


@pytest.fixture(scope="module")
def bench(ml100k: Dataset, split: Split) -> Bench:
    return Bench(split, ml100k.items, Genres().encode(ml100k.items, split.train), (5, K), max_users=100)


@pytest.fixture(scope="module")
def model(ml100k: Dataset) -> Timeline:
    torch.manual_seed(0)
    codes = RandomIds(16, 3).tokenize(torch.zeros(len(ml100k.items), 1), UniqueAssignment()).codes
    tree = CodeTree.of(codes, (16, 16, 16))
    return Timeline(tree, embed_dim=8, width=8, heads=2, layers=1, max_length=10).eval()


def test_methods_are_fitted_to_what_precedes_the_part(bench: Bench, split: Split) -> None:
    popularity = Popularity()
    bench.run({"generative": popularity}, "valid", maskings=(True,))
    assert popularity.weights.sum() == len(split.train)
    comparison = bench.run({"generative": popularity}, "test", maskings=(True, False))
    assert popularity.weights.sum() == len(split.train) + len(split.valid)
    assert comparison.maskings == (True, False)
    assert bench.fit_seconds["generative"] > 0


def test_recallers_are_compared_without_features_and_with_the_first_as_reference(
    ml100k: Dataset, split: Split
) -> None:
    bare = Bench(split, ml100k.items, None, (5, K), max_users=50)
    methods = {"popularity": Popularity(), "ease": Ease()}
    comparison = bare.run(methods, "valid", maskings=(True,))
    assert comparison.reference == "popularity"
    assert all(f"ild@{K}" not in one.summary for one in comparison.evaluations)
    assert bare.run(methods, "valid", (True,), reference="ease").reference == "ease"


def test_a_part_is_said_before_a_trained_model_is_fitted(bench: Bench, split: Split) -> None:
    trained = Trained("nowhere", "nowhere")
    with pytest.raises(ArtifactError, match="no semantic_ids artifact in nowhere"):
        bench.fit(Merged({"generative": trained}), "test")
    assert (trained.split_hash, trained.part) == (split.hash, "test")


def test_the_hybrids_weights_are_the_best_on_validation(bench: Bench, model: Timeline) -> None:
    methods = model_methods(model, bench, 20, memory=Ease())
    cases = bench.cases("valid")
    for name, memory, tried in (
        ("hybrid", Ease(), grid(DENSE, MEMORY)),
        ("hybrid-heads", None, grid(DENSE, (0.0,))),
    ):
        chosen = methods[name]
        assert isinstance(chosen, HybridRecaller)
        judged = {}
        for weights in tried:
            hybrid = bench.fit(HybridRecaller(model, weights=weights, memory=memory, width=20), "valid")
            judged[weights] = ndcg(hybrid.recommend(cases.users, K), cases)
        assert judged[chosen.weights] == max(judged.values())
        assert (chosen.memory is None) == (memory is None)
    alone = model_methods(model, bench, 20)
    assert set(alone) == {"generative", "embedding", "hybrid"}


def test_probes_agree_with_the_metrics(bench: Bench, model: Timeline) -> None:
    widths = search_widths(model, bench, [K, 20])
    assert [one.width for one in widths] == [K, 20, None]
    cases = bench.cases("test")
    exact = bench.fit(GenerativeRecaller(model, search="exhaustive"), "test").recommend(cases.users, K)
    assert widths[-1].ndcg == pytest.approx(ndcg(exact, cases))
    assert widths[-1].found == 1.0
    levels = level_accuracy(model, bench)
    assert levels[0].n_right == len(cases.target_items)
    assert levels[1].n_right == round(levels[0].right * levels[0].n_right)
    assert all(one.n_right + one.n_wrong == len(cases.target_items) for one in levels)


def test_a_flat_index_loses_nothing(bench: Bench, model: Timeline) -> None:
    (loss,) = index_losses(model, bench, {"flat": FaissIndex("Flat")})
    assert loss.found > 0.999  # ties aside
    assert loss.ndcg == pytest.approx(loss.exact_ndcg, abs=1e-3)
    assert np.isfinite(loss.seconds)
    assert index_losses(model, bench, {}) == []
