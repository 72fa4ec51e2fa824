"""Every search, restricted to subsets of the catalogue, finds what sorting the subset by score finds."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from trees import Ids, TableScorer, histories, ids, shut_nodes

from genrec.generative.bound import branch_and_bound
from genrec.generative.search import beam_search, exact_log_probs, exact_search, tie_rank
from genrec.generative.seen import ClosedNodes, NodeSets
from genrec.generative.subsets import OpenNodes
from genrec.generative.tree import CodeTree

ROWS = 3
SEEDS = st.integers(0, 2**32 - 1)


def subsets(tree: CodeTree, seed: int) -> tuple[Tensor, Tensor]:
    """(items bool [4, N], which int64 [ROWS]): nothing, everything, and two at random; each request has one."""
    rng = np.random.default_rng(seed)
    items = torch.from_numpy(rng.random((4, tree.n_items)) < rng.random((4, 1)))
    items[0], items[1] = False, True
    return items, torch.from_numpy(rng.integers(0, 4, ROWS))


def open_nodes(tree: CodeTree, seed: int, masked: bool) -> tuple[OpenNodes, list[set[int]]]:
    """A filter, and the items that it leaves to each request."""
    items, which = subsets(tree, seed)
    row, item = histories(tree, seed) if masked else (torch.zeros(0, dtype=torch.int64),) * 2
    group, allowed = items.nonzero(as_tuple=True)
    nodes = OpenNodes.of(NodeSets.of(tree, group, allowed), which, row, item)
    left = [
        set(items[which[request]].nonzero()[:, 0].tolist()) - set(item[row == request].tolist())
        for request in range(ROWS)
    ]
    return nodes, left


@given(made=ids(), seed=SEEDS, masked=st.booleans())
def test_a_node_is_open_when_an_item_below_it_is_left(made: Ids, seed: int, masked: bool) -> None:
    tree = CodeTree.of(made.codes, made.sizes)
    nodes, left = open_nodes(tree, seed, masked)
    for level in range(tree.n_levels):
        shut = shut_nodes(tree, nodes, level, torch.arange(ROWS))
        for request in range(ROWS):
            is_open = {int(tree.item_path[item, level]) for item in left[request]}
            assert (~shut[request]).nonzero()[:, 0].tolist() == sorted(is_open)


@given(
    made=ids(), seed=SEEDS, k=st.integers(1, 35), masked=st.booleans(), ties=st.booleans(), over=st.booleans()
)
def test_every_search_finds_the_best_of_what_is_left(
    made: Ids, seed: int, k: int, masked: bool, ties: bool, over: bool
) -> None:
    tree = CodeTree.of(made.codes, made.sizes)
    scorer = TableScorer.random(tree, ROWS, seed, ties=ties, over_tree=over)
    nodes, left = open_nodes(tree, seed, masked)
    log_probs = exact_log_probs(scorer, tree)
    beam = beam_search(scorer, tree, width=tree.n_items, k=k, closed=nodes)
    for items, scores in (
        beam,
        exact_search(scorer, tree, k=k, closed=nodes),
        branch_and_bound(scorer, tree, k=k, closed=nodes),
    ):
        for request in range(ROWS):
            rank = tie_rank(tree.item_path[:, -1].long())
            best = sorted(left[request], key=lambda one: (-float(log_probs[request, one]), int(rank[one])))
            best = best[:k]
            padding = k - len(best)
            assert items[request].tolist() == best + [-1] * padding
            assert torch.equal(scores[request, : len(best)], log_probs[request, best])
            assert torch.isneginf(scores[request, len(best) :]).all()


@given(made=ids(), seed=SEEDS, width=st.integers(1, 12), k=st.integers(1, 12))
def test_a_narrow_beam_stays_inside_and_no_list_is_shorter_than_it_must_be(
    made: Ids, seed: int, width: int, k: int
) -> None:
    tree = CodeTree.of(made.codes, made.sizes)
    nodes, left = open_nodes(tree, seed, masked=True)
    items, _ = beam_search(TableScorer.random(tree, ROWS, seed), tree, width=width, k=k, closed=nodes)
    for request in range(ROWS):
        found = [one for one in items[request].tolist() if one >= 0]
        assert set(found) <= left[request]
        assert len(set(found)) == len(found)
        if width >= k:
            assert len(found) == min(k, len(left[request]))


@given(made=ids(), seed=SEEDS, k=st.integers(1, 12))
def test_the_whole_catalogue_as_subset_changes_nothing(made: Ids, seed: int, k: int) -> None:
    tree = CodeTree.of(made.codes, made.sizes)
    row, item = histories(tree, seed)
    everything = torch.arange(tree.n_items)
    whole = NodeSets.of(tree, torch.zeros_like(everything), everything)
    nodes = OpenNodes.of(whole, torch.zeros(ROWS, dtype=torch.int64), row, item)
    scorer = TableScorer.random(tree, ROWS, seed)
    found = beam_search(scorer, tree, width=k, k=k, closed=nodes)
    expected = beam_search(scorer, tree, width=k, k=k, closed=ClosedNodes.of(tree, row, item))
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])
