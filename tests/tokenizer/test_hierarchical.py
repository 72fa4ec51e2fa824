"""Hierarchical balanced k-means."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_catalogue import mixture

from genrec.errors import ConfigError
from genrec.tokenizer import hierarchical
from genrec.tokenizer.collisions import UniqueAssignment, group_ids
from genrec.tokenizer.hierarchical import HierarchicalKMeans, even_centres, numbers

RULE = UniqueAssignment()


@settings(max_examples=25)
@given(
    n=st.integers(1, 200),
    k=st.integers(2, 7),
    extra=st.integers(0, 2),
    distinct=st.sampled_from([1, 3, 1000]),
)
def test_children_of_a_node_differ_by_one_item_at_most(n: int, k: int, extra: int, distinct: int) -> None:
    levels = 1 + extra
    while k**levels < n:
        levels += 1
    x = mixture(min(n, distinct)).repeat(n // min(n, distinct) + 1, 1)[:n]
    codes = HierarchicalKMeans(k, levels, iterations=3).tokenize(x, RULE).codes
    assert len(np.unique(codes, axis=0)) == n
    for depth in range(levels):
        node = group_ids(codes[:, :depth], (k,) * levels)
        for one in np.unique(node):
            counts = np.bincount(codes[node == one, depth], minlength=k)
            assert counts.max() - counts.min() <= 1


def test_levels_with_an_item_per_child_have_centres_of_their_own() -> None:
    tree = HierarchicalKMeans(4, 5, iterations=5)
    made = tree.tokenize(mixture(100), RULE)
    assert [tuple(one.shape) for one in tree.centres] == [(1, 4, 12), (4, 4, 12), (16, 4, 12)]
    assert [tuple(one.shape) for one in tree.codebooks] == [(4, 12), (4, 12)]
    assert tree.sizes == made.sizes == (4,) * 5
    assert sorted(tree.weights()) == [
        *(f"centres.{level}" for level in range(3)),
        "codebooks.3",
        "codebooks.4",
    ]


def test_centres_are_the_means_of_their_items() -> None:
    x = mixture(200)
    tree = HierarchicalKMeans(5, 4, iterations=8)
    codes = tree.tokenize(x, RULE).codes
    child = numbers(codes[:, :2], 5)
    for one in range(25):
        torch.testing.assert_close(
            tree.centres[1].view(25, 12)[one], x[torch.from_numpy(child == one)].mean(0), atol=1e-4, rtol=1e-4
        )


def test_the_error_is_that_of_what_ids_give_back() -> None:
    x = mixture(200)
    tree = HierarchicalKMeans(5, 4, iterations=8)
    made = tree.tokenize(x, RULE)
    space = tree.space(x)
    errors = space.error_by_depth(made.codes)
    total = (x - x.mean(0)).square().sum()
    for depth in range(5):
        back = space.restored(np.arange(200), made.codes, depth) if depth else x.mean(0)
        assert errors[depth] == pytest.approx(float((x - back).square().sum() / total), rel=1e-4)
    assert all(later < earlier for earlier, later in pairwise(errors[:4]))
    assert made.error_by_depth == space.error_by_depth(space.nearest())


def test_k_means_in_nodes_beats_its_start() -> None:
    x = mixture(400, centres=60)
    lost = []
    for iterations in (0, 25):
        tree = HierarchicalKMeans(6, 4, iterations=iterations)
        codes = tree.tokenize(x, RULE).codes
        lost.append(tree.space(x).error_by_depth(codes)[2])
    assert lost[1] < 0.8 * lost[0]


def test_prices_even_out_what_nearest_centres_do_not() -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.rand(2, 600, 3, generator=g) ** 6  # crowded at the origin
    centres, prices = even_centres(x, torch.ones(2, 600, dtype=torch.bool), x[:, :5], 60)
    distances = torch.cdist(x, centres).square()
    held = [
        torch.stack([torch.bincount(one.argmin(1), minlength=5) for one in cost]).double()
        for cost in (distances, distances + prices[:, None])
    ]
    assert held[1].std() < 0.3 * held[0].std()
    assert held[1].max() < 1.25 * 120


def test_rows_that_only_fill_up_count_for_nothing() -> None:
    x = mixture(40)[None]
    start = x[:, :4]
    padded = torch.cat([x, torch.full((1, 9, 12), 100.0)], dim=1)
    real = torch.arange(49)[None] < 40
    alone, _ = even_centres(x, real[:, :40], start, 5)
    beside, _ = even_centres(padded, real, start, 5)
    torch.testing.assert_close(alone, beside, atol=1e-3, rtol=1e-3)


def test_nodes_are_split_in_blocks_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    x = mixture(300)
    whole = HierarchicalKMeans(5, 4, iterations=4).tokenize(x, RULE).codes
    monkeypatch.setattr(hierarchical, "ENTRIES", 700)
    assert np.array_equal(HierarchicalKMeans(5, 4, iterations=4).tokenize(x, RULE).codes, whole)


def test_large_nodes_are_split_with_a_part_of_their_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hierarchical, "ROWS_PER_CENTRE", 10)
    codes = HierarchicalKMeans(4, 5, iterations=5).tokenize(mixture(500), RULE).codes
    assert np.bincount(codes[:, 0]).tolist() == [125] * 4


@pytest.mark.parametrize(("name", "value"), [("codebook_size", 1), ("n_levels", 0), ("iterations", -1)])
def test_names_the_wrong_argument(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=rf"HierarchicalKMeans\.{name} .* got {value}"):
        HierarchicalKMeans(**{name: value})
