"""Recallers over a trained model: the shared battery, and what each of them adds.

`fit` of the battery's recallers trains a small model from scratch, on ids whose first code is the colour of the
checkerboard.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np
import pytest
import torch
from battery import COLD, N_ITEMS, N_USERS, RecallerBattery, assert_same, catalogue, checkerboard
from numpy.typing import NDArray

from genrec.data.histories import Histories
from genrec.data.recommendations import Recommendations
from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.generative import compiled
from genrec.generative.base import Window
from genrec.generative.batches import BatchPlan
from genrec.generative.repeat import RepeatWeight
from genrec.generative.timeline import Timeline
from genrec.generative.tree import CodeTree
from genrec.recall import generative
from genrec.recall.base import Recaller
from genrec.recall.ease import Ease
from genrec.recall.generative import (
    EmbeddingRecaller,
    GenerativeRecaller,
    ModelRecaller,
    recallers,
)
from genrec.recall.hybrid import HybridRecaller, Weights
from genrec.recall.vector_index import ExactIndex, FaissIndex, VectorIndex

SIZES = (2, 10)
EVERYONE = np.arange(N_USERS, dtype=np.int32)


def history_of(train: Interactions, users: NDArray[np.int32], length: int) -> Window:
    """The newest items of each user."""
    items = torch.from_numpy(Histories.of(train).padded(users, length).astype(np.int64))
    return Window(items, torch.from_numpy(users.astype(np.int64)))


def trained(train: Interactions, steps: int, **changes: Any) -> Timeline:
    """A small model trained on the histories, the same for the same arguments."""
    torch.manual_seed(0)
    items = np.arange(train.n_items)
    tree = CodeTree.of(np.stack([items % 2, items // 2], axis=1), SIZES)
    sizes = {"embed_dim": 16, "width": 16, "heads": 2, "layers": 1, "max_length": 4, "dropout": 0.1}
    model = Timeline(tree, **sizes | changes)
    plan = BatchPlan(Histories.of(train), max_length=4, tokens=128, rows=16, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for step in range(steps):
        optimizer.zero_grad()
        model(*plan.batch(step))["loss"].backward()
        optimizer.step()
    return model


class TrainedRecaller:
    """Trains a model on `fit`, then recommends as `make` says."""

    def __init__(self, make: Callable[[Timeline], ModelRecaller[Any]]) -> None:
        self.make = make

    def fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None = None) -> Self:
        steps = 30 if train.n_items == N_ITEMS else 2  # the battery's random events ask for no learning
        self.recaller = self.make(trained(train, steps)).fit(train, items, features)
        return self

    def recommend(self, users: NDArray[np.int32], k: int, *, exclude_seen: bool = True) -> Recommendations:
        return self.recaller.recommend(users, k, exclude_seen=exclude_seen)


class ModelBattery(RecallerBattery):
    """The shared battery; products of matrices of other shapes are rounded otherwise, so scores may differ by that."""

    storable = False

    @pytest.mark.parametrize("batch_size", [1, 3, 1000])
    def test_batch_size_changes_nothing(
        self, fitted: Recaller, train: Interactions, items: ItemTable, batch_size: int
    ) -> None:
        other = self.make(batch_size).fit(train, items, None)
        assert_close(fitted.recommend(self.everyone, 9), other.recommend(self.everyone, 9))

    def test_order_and_company_of_users_change_nothing(self, fitted: Recaller) -> None:
        whole = fitted.recommend(self.everyone, 9)
        chosen = np.array([17, 2, 2, COLD, 5], np.int32)
        some = fitted.recommend(chosen, 9)
        assert_close(some, Recommendations(chosen, whole.items[chosen], whole.scores[chosen]))


def assert_close(first: Recommendations, second: Recommendations) -> None:
    np.testing.assert_array_equal(first.users, second.users)
    np.testing.assert_array_equal(first.items, second.items)
    np.testing.assert_allclose(first.scores, second.scores, rtol=1e-5, atol=1e-5)


class TestBeam(ModelBattery):
    def make(self, batch_size: int = 256) -> TrainedRecaller:
        return TrainedRecaller(lambda model: GenerativeRecaller(model, width=10, batch_size=batch_size))


class TestExhaustive(ModelBattery):
    def make(self, batch_size: int = 256) -> TrainedRecaller:
        return TrainedRecaller(
            lambda model: GenerativeRecaller(model, search="exhaustive", batch_size=batch_size)
        )


class TestBranchAndBound(ModelBattery):
    def make(self, batch_size: int = 256) -> TrainedRecaller:
        return TrainedRecaller(
            lambda model: GenerativeRecaller(model, search="branch-and-bound", batch_size=batch_size)
        )


class TestEmbedding(ModelBattery):
    def make(self, batch_size: int = 256) -> TrainedRecaller:
        return TrainedRecaller(lambda model: EmbeddingRecaller(model, batch_size=batch_size))


class TestHybrid(ModelBattery):
    def make(self, batch_size: int = 256) -> TrainedRecaller:
        return TrainedRecaller(lambda model: HybridRecaller(model, width=10, batch_size=batch_size))


@pytest.fixture(scope="module")
def model() -> Timeline:
    """Trained for so short a time that its heads do not agree."""
    return trained(checkerboard(), 5)


@pytest.fixture(params=[True, False], ids=["masked", "unmasked"])
def masked(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def lists(
    recaller: ModelRecaller[Any], k: int, masked: bool, users: NDArray[np.int32] = EVERYONE
) -> Recommendations:
    return recaller.fit(checkerboard(), catalogue(N_ITEMS)).recommend(users, k, exclude_seen=masked)


@pytest.mark.parametrize("width", [4, 12, N_ITEMS + 5])
def test_hybrid_without_the_dense_head_is_what_was_generated(
    model: Timeline, width: int, masked: bool
) -> None:
    generated = lists(GenerativeRecaller(model, width=width), 10, masked)
    assert_same(lists(HybridRecaller(model, weights=Weights(1, 0, 0), width=width), 10, masked), generated)


def test_ties_of_the_hybrid_keep_the_order_of_generation(masked: bool) -> None:
    model = trained(checkerboard(), 5)
    assert model.dense is not None
    with torch.no_grad():  # a dense head that knows nothing
        assert model.dense.repeat is not None
        for parameter in (*model.dense.key.parameters(), model.dense.bias.weight, model.dense.repeat.scaled):
            parameter.zero_()
    generated = lists(GenerativeRecaller(model, width=12), 10, masked)
    found = lists(HybridRecaller(model, weights=Weights(0, 1, 0), width=12), 10, masked)
    np.testing.assert_array_equal(found.items, generated.items)


def test_hybrid_with_the_dense_head_alone_is_embedding_recall(model: Timeline, masked: bool) -> None:
    embedding = lists(EmbeddingRecaller(model), 10, masked)
    found = lists(HybridRecaller(model, weights=Weights(0, 1, 0), width=N_ITEMS), 10, masked)
    np.testing.assert_array_equal(found.items, embedding.items)
    assert (found.items != lists(GenerativeRecaller(model), 10, masked).items).any()


@torch.no_grad()
def test_hybrid_score_is_the_weighted_sum_of_log_probabilities(model: Timeline) -> None:
    users = EVERYONE[:7]
    found = lists(HybridRecaller(model, weights=Weights(0.7, 0.3, 0), width=N_ITEMS), N_ITEMS, False, users)
    generated = lists(GenerativeRecaller(model, search="exhaustive"), N_ITEMS, False, users)
    window = history_of(checkerboard(), users, model.max_length)
    logits = model.item_logits(model.last_state(window), model.item_vectors(), window)
    dense = logits.log_softmax(1).numpy()
    for row in range(len(users)):
        code = dict(zip(generated.items[row].tolist(), generated.scores[row], strict=True))
        expected = [0.7 * code[item] + 0.3 * dense[row, item] for item in found.items[row].tolist()]
        np.testing.assert_allclose(found.scores[row], expected, rtol=1e-4)


@pytest.mark.parametrize("masked", [True, False])
def test_a_memory_orders_what_was_generated(model: Timeline, masked: bool) -> None:
    generated = lists(GenerativeRecaller(model, width=12), 12, masked)
    memory = Ease()
    weights = Weights(1e-6, 0, 1)
    found = lists(HybridRecaller(model, weights=weights, memory=memory, width=12), 12, masked)
    np.testing.assert_array_equal(np.sort(found.items, 1), np.sort(generated.items, 1))
    scores = memory.fit(checkerboard(), catalogue(N_ITEMS)).scores(EVERYONE)
    scores /= scores.std(1, keepdims=True)
    expected = np.take_along_axis(scores, found.items.astype(np.int64), 1)
    there = found.items >= 0
    np.testing.assert_allclose(found.scores[there], expected[there], rtol=1e-3, atol=1e-3)
    assert (found.scores[~there] == -np.inf).all()


def test_a_wide_beam_and_branch_and_bound_find_what_exhaustive_search_finds(
    model: Timeline, masked: bool
) -> None:
    exact = lists(GenerativeRecaller(model, search="exhaustive"), 12, masked)
    assert_close(lists(GenerativeRecaller(model, width=N_ITEMS), 12, masked), exact)
    assert_close(lists(GenerativeRecaller(model, search="branch-and-bound"), 12, masked), exact)


@pytest.mark.parametrize("search", ["beam", "branch-and-bound", "exhaustive"])
def test_within_subsets_are_the_best_of_each_users_own(
    model: Timeline, masked: bool, search: Literal["beam", "branch-and-bound", "exhaustive"]
) -> None:
    subsets = [np.array([3, 4, 4, 11]), np.zeros(0, np.int64), np.arange(N_ITEMS)]
    which = EVERYONE % 3
    recaller = GenerativeRecaller(model, width=N_ITEMS, search=search)
    whole = lists(recaller, N_ITEMS, masked)
    some = lists(recaller.within(subsets, which), 5, masked)
    for row, subset in enumerate(which):
        kept = np.isin(whole.items[row], subsets[subset])
        best = whole.items[row][kept][:5]
        assert some.items[row].tolist() == best.tolist() + [-1] * (5 - len(best))
        np.testing.assert_allclose(some.scores[row, : len(best)], whole.scores[row][kept][:5], atol=1e-5)
    assert_same(lists(recaller, N_ITEMS, masked), whole)  # the recaller itself is as it was
    in_stock = lists(recaller.within([np.array([7, 8])]), 5, masked)
    assert set(in_stock.items.flatten().tolist()) <= {7, 8, -1}


@pytest.mark.parametrize(
    ("subsets", "which", "message"),
    [
        ([], None, "at least one"),
        ([np.array([N_ITEMS])], None, "lists of items from 0"),
        ([np.array([-1])], None, "lists of items from 0"),
        ([np.array([0]), np.array([1])], None, "which of the 2 subsets"),
        ([np.array([0])], np.full(N_USERS, 1), "which must be from 0 to 0"),
    ],
)
def test_impossible_subsets_are_refused(
    model: Timeline, subsets: list[NDArray[np.int64]], which: NDArray[np.int64] | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        GenerativeRecaller(model).within(subsets, which)


def test_a_compiled_model_recommends_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "eager")  # traced as for compilation, but not translated
    model = trained(
        checkerboard(), 5, node_keys=False, repeat=False
    )  # these stay outside, and take long to trace
    plain = lists(GenerativeRecaller(model), 5, True)
    assert_close(lists(GenerativeRecaller(model, compile=True), 5, True), plain)


def test_exhaustive_search_takes_fewer_users_where_the_catalogue_is_large(
    model: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = lists(GenerativeRecaller(model, search="exhaustive"), 5, True)
    monkeypatch.setattr(generative, "EXHAUSTIVE_ENTRIES", 3 * N_ITEMS)
    in_parts = GenerativeRecaller(model, search="exhaustive", batch_size=100)
    assert in_parts.batch_size == 3
    assert_close(lists(in_parts, 5, True), whole)
    monkeypatch.setattr(generative, "EXHAUSTIVE_ENTRIES", 1)
    assert GenerativeRecaller(model, search="exhaustive").batch_size == 1
    assert GenerativeRecaller(model, batch_size=100).batch_size == 100


def test_only_the_end_of_a_long_history_is_read_but_all_of_it_is_masked(model: Timeline) -> None:
    train = checkerboard()
    recaller = GenerativeRecaller(model).fit(train, catalogue(N_ITEMS))
    history = recaller.histories[0]
    assert len(history) > model.max_length
    window = recaller.window(np.array([0], np.int32))
    assert window.items.tolist() == [history[-model.max_length :].tolist()]
    assert not set(history.tolist()) & set(
        recaller.recommend(np.array([0], np.int32), N_ITEMS).items[0].tolist()
    )


@pytest.mark.parametrize("index", [ExactIndex(), FaissIndex("Flat")], ids=["exact", "faiss"])
@pytest.mark.parametrize("repeat", [-30.0, 0.0, 30.0])
def test_embedding_recall_finds_the_largest_logits(index: VectorIndex, repeat: float) -> None:
    model = trained(checkerboard(), 30).eval()
    assert model.dense is not None
    assert model.dense.repeat is not None
    torch.nn.init.constant_(model.dense.repeat.scaled, repeat / RepeatWeight.SCALE)
    found = lists(EmbeddingRecaller(model, index=index), 5, False)
    window = history_of(checkerboard(), EVERYONE, 4)
    with torch.no_grad():
        logits = model.item_logits(model.last_state(window), model.item_vectors(), window)
    np.testing.assert_allclose(found.scores, logits.topk(5).values, rtol=1e-4, atol=1e-5)
    seen = (found.items[:, :, None] == window.items[:, None, :].numpy()).any(-1).sum(1)
    assert repeat >= 0 or not seen.any()
    assert repeat <= 0 or (seen == [len({*row} - {-1}) for row in window.items.tolist()]).all()


def test_a_model_that_was_left_training_is_used_without_dropout() -> None:
    model = trained(checkerboard(), 5, dropout=0.5).train()
    for recaller in recallers(model, checkerboard(), catalogue(N_ITEMS), width=5).values():
        model.train()
        assert_same(recaller.recommend(EVERYONE, 5), recaller.recommend(EVERYONE, 5))


def test_recallers_are_those_a_model_has_heads_for(model: Timeline) -> None:
    def names(one: Timeline) -> list[str]:
        return list(recallers(one, checkerboard(), catalogue(N_ITEMS), width=5))

    assert names(model) == ["generative", "embedding"]
    no_code, no_dense = (
        trained(checkerboard(), 0, code_weight=0.0),
        trained(checkerboard(), 0, dense_weight=0.0),
    )
    assert names(no_code) == ["embedding"]
    assert names(no_dense) == ["generative"]
    with pytest.raises(ConfigError, match=r"Timeline\.code_weight"):
        lists(GenerativeRecaller(no_code), 5, True)
    for recaller in (EmbeddingRecaller(no_dense), HybridRecaller(no_dense)):
        with pytest.raises(ConfigError, match=r"Timeline\.dense_weight"):
            lists(recaller, 5, True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda model: GenerativeRecaller(model, width=0), "GenerativeRecaller.width"),
        (lambda model: GenerativeRecaller(model, search="exact"), "GenerativeRecaller.search"),
        (lambda model: GenerativeRecaller(model, batch_size=0), "GenerativeRecaller.batch_size"),
        (lambda model: EmbeddingRecaller(model, batch_size=-1), "EmbeddingRecaller.batch_size"),
        (lambda model: HybridRecaller(model, weights=Weights(0, 0, 0)), "HybridRecaller.weights"),
        (lambda model: HybridRecaller(model, weights=Weights(1, -1, 0)), "HybridRecaller.weights"),
        (lambda model: HybridRecaller(model, weights=Weights(1, float("nan"), 0)), "HybridRecaller.weights"),
        (lambda model: HybridRecaller(model, width=0), "HybridRecaller.width"),
    ],
)
def test_wrong_arguments_name_their_binding(
    model: Timeline, make: Callable[[Timeline], ModelRecaller[Any]], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make(model)
