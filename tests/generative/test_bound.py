"""Branch and bound finds what exhaustive search finds, in whatever blocks it works."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from trees import Ids, TableScorer, histories, ids

from genrec.errors import ConfigError
from genrec.generative import bound
from genrec.generative.bound import branch_and_bound
from genrec.generative.search import exact_search
from genrec.generative.seen import ClosedNodes
from genrec.generative.tree import CodeTree

ROWS = 3
SEEDS = st.integers(0, 2**32 - 1)


class Counting(TableScorer):
    """Counts the nodes it scores, and remembers the largest question."""

    scored = 0
    largest = 0

    def advance(self, level: int, parent: Tensor, node: Tensor) -> Tensor:
        Counting.scored += node.numel()
        Counting.largest = max(Counting.largest, node.numel() * self.tree.sizes[level])
        return super().advance(level, parent, node)

    def select(self, rows: Tensor) -> Counting:
        chosen = Counting(self.tree, [table[rows] for table in self.tables], over_tree=self.over_tree)
        chosen.prefix = self.prefix[rows]
        return chosen


def random_tree(n: int, sizes: tuple[int, ...]) -> CodeTree:
    return CodeTree.of(np.random.default_rng(0).integers(0, min(sizes), (n, len(sizes))), sizes)


def peaked(tree: CodeTree, scale: float) -> list[Tensor]:
    return [scale * table for table in TableScorer.random(tree, ROWS, 0).tables]


@given(
    made=ids(),
    seed=SEEDS,
    scale=st.sampled_from([0.0, 1.0, 10.0, 200.0]),
    ties=st.booleans(),
    over_tree=st.booleans(),
    masked=st.booleans(),
    k=st.integers(1, 35),
    block=st.sampled_from([1, 100, bound.BLOCK]),
    incumbent=st.sampled_from([1, bound.INCUMBENT]),
)
def test_it_equals_exhaustive_search(
    made: Ids,
    seed: int,
    scale: float,
    ties: bool,
    over_tree: bool,
    masked: bool,
    k: int,
    block: int,
    incumbent: int,
) -> None:
    tree = CodeTree.of(made.codes, made.sizes)
    drawn = TableScorer.random(tree, ROWS, seed, ties=ties)
    scorer = TableScorer(tree, [scale * table for table in drawn.tables], over_tree=over_tree)
    closed = ClosedNodes.of(tree, *histories(tree, seed)) if masked else None
    expected = exact_search(scorer, tree, k=k, closed=closed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bound, "BLOCK", block)
        patch.setattr(bound, "INCUMBENT", incumbent)
        patch.setattr(bound, "COLUMNS", 3)
        found = branch_and_bound(scorer, tree, k=k, closed=closed)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


def test_a_sure_model_is_asked_little_and_a_flat_one_everything_in_small_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = (12, 12, 12)
    tree = random_tree(1500, sizes)
    prefixes = tree.n_nodes(1) + tree.n_nodes(2)
    monkeypatch.setattr(bound, "BLOCK", 500)
    asked = {}
    for scale in (0.0, 5.0):
        Counting.scored, Counting.largest = 0, 0
        scorer = Counting(tree, peaked(tree, scale))
        found = branch_and_bound(scorer, tree, k=5)
        assert torch.equal(found[0], exact_search(TableScorer(tree, scorer.tables), tree, k=5)[0])
        asked[scale] = Counting.scored / ROWS
        beam = ROWS * bound.INCUMBENT * 12  # of the incumbent's search
        assert Counting.largest <= max(500, beam, bound.COLUMNS * 12)
    assert asked[5.0] < prefixes / 2
    assert asked[0.0] >= prefixes


def test_scores_that_are_rounded_otherwise_hide_no_item() -> None:
    """A scorer whose answers are lower after the beam's two, by as much as products of other shapes may be."""

    class Wavering(TableScorer):
        calls = 0

        def advance(self, level: int, parent: Tensor, node: Tensor) -> Tensor:
            Wavering.calls += 1
            return super().advance(level, parent, node) * (1 if Wavering.calls <= 2 else 1 + 1e-6)

        def select(self, rows: Tensor) -> Wavering:
            chosen = Wavering(self.tree, [table[rows] for table in self.tables])
            chosen.prefix = self.prefix[rows]
            return chosen

    tree = random_tree(300, (20, 20, 20))  # many prefixes have one item, whose score is theirs
    for seed in range(30):
        drawn = TableScorer.random(tree, ROWS, seed, ties=True)  # many items at the k-th score
        Wavering.calls = 0
        items, scores = branch_and_bound(Wavering(tree, drawn.tables), tree, k=10)
        expected = exact_search(drawn, tree, k=10)[1]
        assert (items >= 0).all()
        torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-5)


def test_k_must_be_positive() -> None:
    tree = random_tree(3, (4,))
    with pytest.raises(ConfigError, match="at least 1"):
        branch_and_bound(TableScorer.random(tree, 1, 0), tree, k=0)
