from __future__ import annotations

import subprocess
import sys

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.generative.nodes import NodeKeys, sampled_products
from genrec.generative.tree import CodeTree


@given(seed=st.integers(0, 999), rows=st.integers(0, 5), keys=st.integers(1, 7))
def test_products_and_gradients_are_those_of_gathered_rows(seed: int, rows: int, keys: int) -> None:
    rng = np.random.default_rng(seed)
    picks = [np.flatnonzero(rng.random(keys) < 0.5) for _ in range(rows)]
    bounds = torch.tensor([0, *np.cumsum([len(pick) for pick in picks]).tolist()])
    columns = torch.from_numpy(np.concatenate([np.empty(0, np.int64), *picks]))
    left = torch.from_numpy(rng.normal(size=(rows, 3))).requires_grad_()
    right = torch.from_numpy(rng.normal(size=(keys, 3))).requires_grad_()
    weight = torch.from_numpy(rng.normal(size=len(columns)))
    found = sampled_products(left, right, bounds, columns)
    expected = (left[torch.repeat_interleave(bounds.diff())] * right[columns]).sum(-1)
    torch.testing.assert_close(found, expected)
    for one, other in zip(
        torch.autograd.grad(found, (left, right), weight),
        torch.autograd.grad(expected, (left, right), weight),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_a_node_s_key_is_that_of_the_mean_of_its_items() -> None:
    tree = CodeTree.of(np.array([[1, 0, 0], [0, 1, 0], [0, 1, 1], [1, 1, 0]], np.int32), (2, 2, 2))
    nodes, vectors = NodeKeys(tree, 4, 3), torch.randn(4, 4)
    second, leaves = nodes.keys(tree, vectors)
    torch.testing.assert_close(
        second,
        torch.nn.functional.normalize(
            nodes.key[0](torch.stack([vectors[1:3].mean(0), vectors[0], vectors[3]]))
        ),
    )
    torch.testing.assert_close(leaves, torch.nn.functional.normalize(nodes.key[1](vectors[[1, 2, 0, 3]])))


def test_to_import_it_does_not_load_the_compiler() -> None:
    """Which would double the time that every script takes to start."""
    code = "import sys, genrec.generative.nodes; sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
