"""What would flatter a generative recommender, shown not to (MovieLens-100K, leave-one-out).

Ids that say nothing must score like chance: an evaluation that counted ids instead of items, or broke ties in
the catalogue's order, would give them good marks. That the same training scores far above chance on real ids
shows that the figures can tell the difference.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from genrec.data.histories import Histories
from genrec.data.recommendations import Recommendations
from genrec.data.splits import LeaveOneOut, Split
from genrec.data.tables import Dataset
from genrec.evaluation.protocol import EvaluationSet, evaluate, evaluation_set
from genrec.features.collaborative import CoOccurrence
from genrec.generative.batches import BatchPlan
from genrec.generative.search import beam_search
from genrec.generative.softmax import child_log_probs
from genrec.generative.timeline import Timeline
from genrec.generative.tree import CodeTree
from genrec.recall.base import Recaller
from genrec.recall.generative import EmbeddingRecaller, GenerativeRecaller
from genrec.recall.hybrid import HybridRecaller
from genrec.tokenizer.collisions import UniqueAssignment, collision_rate
from genrec.tokenizer.rqkmeans import RqKMeans

LENGTH, STEPS = 30, 70


@pytest.fixture(scope="module")
def split(ml100k: Dataset) -> Split:
    return LeaveOneOut()(ml100k.interactions)


@pytest.fixture(scope="module")
def cases(split: Split) -> EvaluationSet:
    return evaluation_set(split, "test")


@pytest.fixture(scope="module")
def semantic(ml100k: Dataset, split: Split) -> CodeTree:
    """Ids from what is watched near what, collisions handled."""
    features = CoOccurrence(width=32).encode(ml100k.items, split.train)
    made = RqKMeans(32, 3, iterations=10).tokenize(torch.from_numpy(features.vectors), UniqueAssignment())
    assert made.raw is not None
    assert collision_rate(made.raw, (32, 32, 32)) > 0  # there was something to handle
    assert collision_rate(made.codes, made.sizes) == 0
    return CodeTree.of(made.codes, made.sizes)


def trained(tree: CodeTree, split: Split, *, steps: int = STEPS, tree_softmax: bool = True) -> Timeline:
    torch.manual_seed(0)
    model = Timeline(
        tree,
        embed_dim=32,
        width=32,
        heads=2,
        layers=1,
        max_length=LENGTH,
        dropout=0.1,
        tree_softmax=tree_softmax,
        node_keys=tree_softmax,
        repeat=tree_softmax,
    )
    plan = BatchPlan(Histories.of(split.train), max_length=LENGTH, tokens=2048, rows=128, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.005)
    for step in range(steps):
        optimizer.zero_grad()
        model(*plan.batch(step))["loss"].backward()
        optimizer.step()
    return model


@pytest.fixture(scope="module")
def model(semantic: CodeTree, split: Split) -> Timeline:
    return trained(semantic, split)


def fitted(
    recaller: GenerativeRecaller | EmbeddingRecaller | HybridRecaller, data: Dataset, split: Split
) -> Recaller:
    return recaller.fit(split.before("test"), data.items)


def chance(cases: EvaluationSet) -> float:
    """HR@10 that one of 1,000 fixed random lists exceeds."""
    wanted = np.bincount(cases.target_items, minlength=cases.n_items)
    rng = np.random.default_rng(0)
    lists = np.stack([rng.choice(cases.n_items, 10, replace=False) for _ in range(1000)])
    return float(wanted[lists].sum(1).max() / len(cases.users))


@pytest.mark.parametrize("tree_softmax", [True, False])
def test_one_id_for_all_items_scores_like_chance(
    ml100k: Dataset, split: Split, cases: EvaluationSet, tree_softmax: bool
) -> None:
    tree = CodeTree.of(np.zeros((cases.n_items, 3), np.int32), (4, 4, 4))
    blind = trained(tree, split, steps=20, tree_softmax=tree_softmax)
    for recaller in (GenerativeRecaller(blind, width=10), GenerativeRecaller(blind, search="exhaustive")):
        for masked in (True, False):
            ready = fitted(recaller, ml100k, split)
            found = evaluate(ready, cases, [10], method="blind", masked=masked).summary
            assert found["recall@10"] <= chance(cases)


class RandomLogits:
    """A scorer that draws logits anew for every question."""

    def __init__(self, tree: CodeTree, rows: int, generator: torch.Generator) -> None:
        self.draw = partial(torch.randn, generator=generator)
        self.tree, self.rows = tree, rows

    def start(self) -> torch.Tensor:
        root = torch.zeros(self.rows, 1, dtype=torch.int64)
        return self.advance(0, root, root)

    def advance(self, level: int, parent: torch.Tensor, node: torch.Tensor) -> torch.Tensor:
        logits = self.draw(*node.shape, self.tree.sizes[level])
        return child_log_probs(logits, self.tree, level, node, over_tree=True)


def test_random_logits_over_semantic_ids_score_like_chance(semantic: CodeTree, cases: EvaluationSet) -> None:
    scorer = RandomLogits(semantic, len(cases.users), torch.Generator().manual_seed(0))
    items, scores = beam_search(scorer, semantic, width=10, k=10)
    lists = Recommendations(cases.users, items.numpy().astype(np.int32), scores.numpy())
    assert cases.hits(lists).any(axis=1).mean() <= chance(cases)


def test_the_same_training_on_real_ids_is_far_above_chance(
    ml100k: Dataset, split: Split, cases: EvaluationSet, model: Timeline
) -> None:
    recaller = fitted(GenerativeRecaller(model, width=20), ml100k, split)
    found = evaluate(recaller, cases, [10], method="generative", masked=True)
    assert found.summary["recall@10"] > 3 * chance(cases)
    assert found.summary["invalid"] == 0
    assert (found.recommendations.items >= 0).all()


def test_a_hit_is_the_item_and_not_its_neighbour_in_the_tree(
    semantic: CodeTree, cases: EvaluationSet
) -> None:
    target = cases.target_items[cases.target_offsets[:-1]]
    leaf = semantic.item_path[target, -1].numpy()
    beside = semantic.leaf_item.numpy()[np.where(leaf > 0, leaf - 1, 1)]
    shared = semantic.item_path[target, 1] == semantic.item_path[beside, 1]
    assert shared.float().mean() > 0.5  # most differ in the last code only
    scores = np.zeros((len(target), 1), np.float32)
    assert cases.hits(Recommendations(cases.users, target[:, None], scores)).all()
    assert not cases.hits(Recommendations(cases.users, beside[:, None], scores)).any()


@pytest.mark.parametrize("make", [GenerativeRecaller, EmbeddingRecaller, HybridRecaller])
def test_batch_size_does_not_change_metrics(
    ml100k: Dataset,
    split: Split,
    cases: EvaluationSet,
    model: Timeline,
    make: type[GenerativeRecaller] | type[EmbeddingRecaller] | type[HybridRecaller],
) -> None:
    found = [
        evaluate(
            fitted(make(model, batch_size=batch_size), ml100k, split),
            cases,
            method=make.__name__,
            masked=True,
        ).summary
        for batch_size in (17, 128, len(cases.users))
    ]
    assert found[0] == found[1] == found[2]


def test_two_trainings_with_one_seed_recommend_the_same(
    ml100k: Dataset, split: Split, cases: EvaluationSet, semantic: CodeTree
) -> None:
    one, two = (
        fitted(HybridRecaller(trained(semantic, split, steps=15)), ml100k, split).recommend(cases.users, 20)
        for _ in range(2)
    )
    np.testing.assert_array_equal(one.items, two.items)
    np.testing.assert_array_equal(one.scores, two.scores)
