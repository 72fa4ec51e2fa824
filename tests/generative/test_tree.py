from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trees import Ids, children, ids, prefixes

from genrec.errors import DataError
from genrec.generative import tree as tree_module
from genrec.generative.tree import CodeTree


@given(ids())
def test_nodes_are_the_prefixes_in_order(made: Ids) -> None:
    tree = CodeTree.of(made.codes, made.sizes)
    assert (tree.n_items, tree.n_levels) == made.codes.shape
    assert torch.equal(tree.codes(), torch.from_numpy(made.codes).long())
    assert tree.shared_ids == (len({tuple(row) for row in made.codes.tolist()}) < len(made.codes))
    for depth in range(tree.n_levels + 1):
        assert tree.n_nodes(depth) == len(prefixes(made.codes, depth))
    for depth in range(1, tree.n_levels + 1):
        nodes = prefixes(made.codes, depth)
        path = tree.item_path[:, depth - 1].tolist()
        assert [nodes[node] for node in path] == [tuple(row[:depth]) for row in made.codes.tolist()]
        assert tree.child_code[depth - 1].tolist() == [node[-1] for node in nodes]
        assert tree.leaf_count[depth - 1].tolist() == [path.count(node) for node in range(len(nodes))]


@given(ids())
def test_every_item_has_a_leaf_of_its_own(made: Ids) -> None:
    tree = CodeTree.of(made.codes, made.sizes)
    leaf = tree.item_path[:, -1].long()
    assert sorted(leaf.tolist()) == list(range(tree.n_items))
    assert tree.leaf_item[leaf].tolist() == list(range(tree.n_items))


@given(made=ids(), dense_entries=st.sampled_from([0, 6, 1 << 20]))
def test_children_are_those_of_a_trie(made: Ids, dense_entries: int) -> None:
    """With child tables, without any, and with some; the answers are the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_module, "DENSE_ENTRIES", dense_entries)
        tree = CodeTree.of(made.codes, made.sizes)
    for depth, table in enumerate(tree.child_table):
        assert (table is not None) == (tree.n_nodes(depth) * made.sizes[depth] <= dense_entries)
        nodes = prefixes(made.codes, depth)
        expected = [children(made.codes, node) for node in nodes]
        asked = torch.arange(len(nodes))
        child, exists = tree.children(depth, asked)
        assert tree.fanout[depth] == child.shape[1] == max(map(len, expected))
        assert torch.equal(tree.missing(depth, asked), ~exists)
        read = tree.child_codes(depth, asked)
        for node, codes in enumerate(expected):
            assert tree.child_code[depth][child[node][exists[node]].long()].tolist() == codes
            assert (child[node][~exists[node]] == 0).all()
            assert read[node][exists[node]].tolist() == codes
        longer = prefixes(made.codes, depth + 1)
        assert [longer[one][:-1] for one in child[exists].tolist()] == [one[:-1] for one in longer]
        valid = tree.valid_codes(depth, asked)
        assert valid.shape == (len(nodes), made.sizes[depth])
        assert [set(row.nonzero()[:, 0].tolist()) for row in valid] == [set(codes) for codes in expected]
        twice = asked.expand(2, -1)
        assert torch.equal(tree.valid_codes(depth, twice), valid.expand(2, -1, -1))
        assert torch.equal(tree.children(depth, twice)[0], child.expand(2, -1, -1))


@given(ids())
def test_map_changes_every_tensor(made: Ids) -> None:
    tree = CodeTree.of(made.codes, made.sizes)
    seen: list[torch.Tensor] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        seen.append(tensor)
        return tensor.clone()

    moved = tree.map(note)
    assert sum(tensor.nbytes for tensor in seen) == tree.nbytes == moved.nbytes
    for depth in range(tree.n_levels):
        nodes = torch.arange(tree.n_nodes(depth))
        assert torch.equal(moved.valid_codes(depth, nodes), tree.valid_codes(depth, nodes))
        assert torch.equal(moved.leaf_count[depth], tree.leaf_count[depth])
    assert torch.equal(moved.item_path, tree.item_path)
    assert torch.equal(moved.leaf_item, tree.leaf_item)
    assert (moved.sizes, moved.fanout, moved.shared_ids) == (tree.sizes, tree.fanout, tree.shared_ids)


@given(made=ids(), times=st.integers(1, 12), size=st.sampled_from([256, 2**31 - 1]))
def test_ids_may_be_of_any_length(made: Ids, times: int, size: int) -> None:
    """Repeating an id's codes keeps the order of ids, and the order of the items of a tree that is as deep."""
    codes = np.tile(made.codes, (1, times))
    tree, short = CodeTree.of(codes, (size,) * codes.shape[1]), CodeTree.of(made.codes, made.sizes)
    assert torch.equal(tree.codes(), torch.from_numpy(codes).long())
    assert torch.equal(tree.leaf_item, short.leaf_item)
    assert torch.equal(tree.item_path[:, : short.n_levels - 1], short.item_path[:, :-1])
    assert tree.shared_ids == short.shared_ids
    for depth in range(1, tree.n_levels + 1):
        assert tree.n_nodes(depth) == len(prefixes(codes, depth))


@given(ids())
def test_a_level_is_complete_when_no_child_is_missing(made: Ids) -> None:
    tree = CodeTree.of(made.codes, made.sizes)
    for depth, size in enumerate(tree.sizes):
        nodes = prefixes(made.codes, depth)
        complete = all(children(made.codes, node) == list(range(size)) for node in nodes)
        assert tree.is_complete(depth) == complete
        if complete:
            assert not tree.missing(depth, torch.arange(len(nodes))).any()


def test_a_million_items_fit_into_100_megabytes() -> None:
    codes = np.random.default_rng(0).integers(0, 256, size=(1_000_000, 4), dtype=np.int32)
    assert CodeTree.of(codes, (256,) * 4).nbytes <= 100e6


@pytest.mark.parametrize(
    ("codes", "sizes", "message"),
    [
        (np.empty((0, 2), np.int32), (4, 4), "needs codes of shape"),
        (np.zeros((3, 2), np.int32), (4, 4, 4), r"shape \[items, 3\], got \[3, 2\]"),
        (np.array([[0, 4]]), (4, 4), "outside their codebooks"),
        (np.array([[0, -1]]), (4, 4), "outside their codebooks"),
    ],
)
def test_impossible_codes_are_refused(codes: np.ndarray, sizes: tuple[int, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        CodeTree.of(codes, sizes)
