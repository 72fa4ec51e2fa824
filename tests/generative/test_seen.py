from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from trees import Ids, ids, prefixes, shut_nodes

from genrec.generative.seen import ClosedNodes
from genrec.generative.tree import CodeTree

ROWS = 4


@given(made=ids(), data=st.data())
def test_a_node_is_closed_when_all_below_it_is_seen(made: Ids, data: st.DataObject) -> None:
    tree = CodeTree.of(made.codes, made.sizes)
    event = st.tuples(st.integers(0, ROWS - 1), st.integers(0, tree.n_items - 1))
    events = data.draw(st.lists(event, max_size=3 * tree.n_items))
    pairs = torch.tensor(events, dtype=torch.int64).reshape(-1, 2)
    closed = ClosedNodes.of(tree, pairs[:, 0], pairs[:, 1])
    rows = made.codes.tolist()
    for level in range(tree.n_levels):
        nodes = prefixes(made.codes, level + 1)
        items_below = [
            {item for item in range(tree.n_items) if int(tree.item_path[item, level]) == node}
            for node in range(len(nodes))
        ]
        assert all(
            tuple(rows[item][: level + 1]) == nodes[node]
            for node, items in enumerate(items_below)
            for item in items
        )
        found = shut_nodes(tree, closed, level, torch.arange(ROWS))
        for row in range(ROWS):
            seen = {item for where, item in events if where == row}
            assert found[row].tolist() == [items <= seen for items in items_below]
        order = torch.tensor([2, 0, 0])
        assert torch.equal(shut_nodes(tree, closed, level, order), found[order])
