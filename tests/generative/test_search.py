"""Beam search, exact search and brute force are three ways to one answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trees import Ids, TableScorer, histories, ids

from genrec.errors import ConfigError
from genrec.generative.search import beam_search, exact_log_probs, exact_search, tie_rank
from genrec.generative.seen import ClosedNodes
from genrec.generative.tree import CodeTree

SEEDS = st.integers(0, 2**32 - 1)
ROWS = 3


@given(made=ids(), seed=SEEDS, over_tree=st.booleans(), ties=st.booleans())
def test_exact_log_probs_are_those_of_the_definition(
    made: Ids, seed: int, over_tree: bool, ties: bool
) -> None:
    tree = CodeTree.of(made.codes, made.sizes)
    scorer = TableScorer.random(tree, ROWS, seed, ties=ties, over_tree=over_tree)
    found = exact_log_probs(scorer, tree)
    expected = [[scorer.log_prob(made, row, item) for item in range(tree.n_items)] for row in range(ROWS)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@given(made=ids(distinct=True), seed=SEEDS)
def test_probabilities_of_all_items_add_up_to_one(made: Ids, seed: int) -> None:
    tree = CodeTree.of(made.codes, made.sizes)
    over_tree, over_codes = (TableScorer.random(tree, ROWS, seed, over_tree=one) for one in (True, False))
    torch.testing.assert_close(exact_log_probs(over_tree, tree).exp().sum(1), torch.ones(ROWS))
    assert (exact_log_probs(over_codes, tree).exp().sum(1) <= 1 + 1e-5).all()


@given(
    made=ids(),
    seed=SEEDS,
    over_tree=st.booleans(),
    ties=st.booleans(),
    masked=st.booleans(),
    k=st.integers(1, 35),
)
def test_wide_beam_equals_exact_equals_brute_force(
    made: Ids, seed: int, over_tree: bool, ties: bool, masked: bool, k: int
) -> None:
    tree = CodeTree.of(made.codes, made.sizes)
    scorer = TableScorer.random(tree, ROWS, seed, ties=ties, over_tree=over_tree)
    row, item = histories(tree, seed)
    closed = ClosedNodes.of(tree, row, item) if masked else None
    exact = exact_search(scorer, tree, k=k, closed=closed)
    beam = beam_search(scorer, tree, width=tree.n_items, k=k, closed=closed)
    assert torch.equal(beam[0], exact[0])
    assert torch.equal(beam[1], exact[1])
    for request in range(ROWS):
        seen = set(item[row == request].tolist()) if masked else set()
        open_items = [one for one in range(tree.n_items) if one not in seen]
        score = {one: scorer.log_prob(made, request, one) for one in open_items}
        best = sorted(score.values(), reverse=True)[:k]
        items, scores = exact[0][request].tolist(), exact[1][request].tolist()
        n = len(best)
        assert items[n:] == [-1] * (k - n)
        assert scores[n:] == [-np.inf] * (k - n)
        assert len(set(items[:n])) == n
        np.testing.assert_allclose(scores[:n], best, atol=1e-5)
        np.testing.assert_allclose([score[one] for one in items[:n]], best, atol=1e-5)


@given(made=ids(), seed=SEEDS, width=st.integers(1, 12), k=st.integers(1, 12), masked=st.booleans())
def test_narrow_beam_finds_open_items_with_their_true_scores(
    made: Ids, seed: int, width: int, k: int, masked: bool
) -> None:
    tree = CodeTree.of(made.codes, made.sizes)
    scorer = TableScorer.random(tree, ROWS, seed)
    row, item = histories(tree, seed)
    closed = ClosedNodes.of(tree, row, item) if masked else None
    items, scores = beam_search(scorer, tree, width=width, k=k, closed=closed)
    truth = exact_log_probs(scorer, tree)
    best = exact_search(scorer, tree, k=k, closed=closed)[1]
    assert (scores[:, :-1] >= scores[:, 1:]).all()
    assert (scores <= best + 1e-6).all()
    for request in range(ROWS):
        seen = set(item[row == request].tolist()) if masked else set()
        found = [one for one in items[request].tolist() if one >= 0]
        assert len(set(found)) == len(found)
        assert not seen & set(found)
        torch.testing.assert_close(scores[request, : len(found)], truth[request, found])
        assert torch.isneginf(scores[request, len(found) :]).all()
        if width >= k:  # no list is shorter than it must be
            assert len(found) == min(k, tree.n_items - len(seen))


@given(made=ids(), seed=SEEDS, width=st.integers(1, 40), ties=st.booleans())
def test_requests_do_not_meet_each_other(made: Ids, seed: int, width: int, ties: bool) -> None:
    tree = CodeTree.of(made.codes, made.sizes)
    scorer = TableScorer.random(tree, ROWS, seed, ties=ties)
    row, item = histories(tree, seed)
    closed = ClosedNodes.of(tree, row, item)
    items, scores = beam_search(scorer, tree, width=width, k=7, closed=closed)
    for request in range(ROWS):
        own = item[row == request]
        alone = ClosedNodes.of(tree, torch.zeros_like(own), own)
        one_items, one_scores = beam_search(
            scorer.select(torch.tensor([request])), tree, width=width, k=7, closed=alone
        )
        assert torch.equal(one_items[0], items[request])
        assert torch.equal(one_scores[0], scores[request])


@pytest.mark.parametrize("codes", [np.arange(200)[:, None], np.zeros((200, 1), int)])
def test_a_scorer_that_knows_nothing_gains_nothing_from_the_order_of_items(codes: np.ndarray) -> None:
    tree = CodeTree.of(codes, (200,))
    scorer = TableScorer(tree, [torch.zeros(2, 1, 200)])
    items = exact_search(scorer, tree, k=100)[0]
    assert torch.equal(items[0], items[1])
    assert items[0].double().mean() == pytest.approx(99.5, abs=10)
    assert sorted(items[0].tolist()) != items[0].tolist()
    low = (items[0, :20] < 20).sum()
    assert low <= 5  # 2 of 20 are expected among the first 10 %


def test_tie_ranks_are_distinct() -> None:
    nodes = torch.cat([torch.arange(100_000), 2**31 - 1 - torch.arange(100_000)])
    ranks = tie_rank(nodes)
    assert len(ranks.unique()) == len(nodes)
    assert ranks.min() >= 0
    assert ranks.max() < 2**32


@pytest.mark.parametrize(("width", "k"), [(0, 1), (1, 0), (5, -1)])
def test_width_and_k_must_be_positive(width: int, k: int) -> None:
    tree = CodeTree.of(np.array([[0], [1]]), (2,))
    scorer = TableScorer.random(tree, 1, 0)
    with pytest.raises(ConfigError, match="at least 1"):
        beam_search(scorer, tree, width=width, k=k)
    if k < 1:
        with pytest.raises(ConfigError, match="at least 1"):
            exact_search(scorer, tree, k=k)
