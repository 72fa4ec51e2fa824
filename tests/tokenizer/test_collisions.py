"""Collision handling: distinct always, near where it can be."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genrec.errors import ConfigError
from genrec.tokenizer.collisions import (
    CollisionRule,
    DeduplicationCode,
    UniqueAssignment,
    collision_rate,
    group_ids,
    settled,
)
from genrec.tokenizer.residual import ResidualSpace, decode, encode
from genrec.tokenizer.space import Codes

KINDS = ["random", "identical", "zero", "few", "far"]
SIZES = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)


def random_books(sizes: tuple[int, ...], width: int, seed: int) -> list[Tensor]:
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(k, width, generator=g) / 2**level for level, k in enumerate(sizes)]


def latents_of(kind: str, n: int, width: int, seed: int) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, width, generator=g)
    if kind == "identical":
        return x[:1].expand(n, width).clone()
    if kind == "zero":
        return torch.zeros(n, width)
    if kind == "few":
        return x[: max(1, n // 10)][torch.randint(max(1, n // 10), (n,), generator=g)]
    if kind == "far":  # all in one corner: one prefix is nearest to all of them
        return 1000 + x
    return x


def assigned(rule: CollisionRule, x: Tensor, books: list[Tensor]) -> tuple[Codes, tuple[int, ...]]:
    space = ResidualSpace(x, books)
    return rule(space, space.nearest())


@settings(max_examples=150)
@given(
    sizes=SIZES,
    fill=st.floats(0.01, 1.0),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 999),
)
def test_unique_assignment_gives_distinct_codes(
    sizes: tuple[int, ...], fill: float, kind: str, seed: int
) -> None:
    n = max(1, int(fill * prod(sizes)))
    codes, out = assigned(UniqueAssignment(), latents_of(kind, n, 3, seed), random_books(sizes, 3, seed + 1))
    assert out == sizes
    assert codes.dtype == np.int32
    assert codes.shape == (n, len(sizes))
    assert len(np.unique(codes, axis=0)) == n
    assert (codes >= 0).all()
    assert (codes < np.array(sizes)).all()


@pytest.mark.parametrize("kind", ["random", "identical", "far"])
def test_a_catalogue_that_fills_every_leaf(kind: str) -> None:
    codes, _ = assigned(UniqueAssignment(), latents_of(kind, 512, 4, 0), random_books((8, 8, 8), 4, 1))
    assert sorted(map(tuple, codes.tolist())) == list(product(range(8), repeat=3))


def test_one_item_more_than_leaves_is_an_error() -> None:
    with pytest.raises(ConfigError, match="9 items do not fit into codebooks of 4 x 2 codes; raise"):
        assigned(UniqueAssignment(), torch.zeros(9, 2), random_books((4, 2), 2, 0))


def test_items_without_conflict_keep_their_nearest_codes() -> None:
    books = random_books((6, 6, 12), 5, 0)
    x = torch.randn(60, 5, generator=torch.Generator().manual_seed(2))
    raw = encode(x, books).numpy()
    codes, sizes = assigned(UniqueAssignment(), x, books)
    prefix = group_ids(raw[:, :2], sizes)
    assert np.unique(prefix, return_counts=True)[1].max() <= 12  # no prefix has more items than leaves
    conflicted = {p for p in prefix if len(np.unique(raw[prefix == p], axis=0)) < (prefix == p).sum()}
    assert 0 < len(conflicted) < len(set(prefix))
    calm = ~np.isin(prefix, list(conflicted))
    assert np.array_equal(codes[calm], raw[calm])
    assert np.array_equal(codes[:, :2], raw[:, :2])


def test_a_group_below_the_capacity_does_not_leave_its_prefix() -> None:
    books = [torch.tensor([[0.0], [100.0]]), torch.tensor([[0.0], [1.0], [-1.0]])]
    codes, _ = assigned(UniqueAssignment(), torch.tensor([[0.0], [0.1], [-0.1], [99.0]]), books)
    assert codes.tolist() == [[0, 0], [0, 1], [0, 2], [1, 2]]


def test_of_an_overfull_prefix_those_leave_that_lose_least() -> None:
    books = [torch.tensor([[0.0], [10.0]]), torch.tensor([[0.0], [1.0]])]
    codes, _ = assigned(UniqueAssignment(), torch.tensor([[0.0], [4.9], [1.0]]), books)
    assert codes[:, 0].tolist() == [0, 1, 0]


def test_moving_is_cheaper_than_dealing_free_leaves_out_at_random() -> None:
    books = random_books((8, 8, 8), 4, 3)
    x = torch.randn(400, 4, generator=torch.Generator().manual_seed(4))
    codes, sizes = assigned(UniqueAssignment(), x, books)
    rng = np.random.default_rng(0)
    dealt = encode(x, books).numpy()
    _, first = np.unique(group_ids(dealt, sizes), return_index=True)
    homeless = np.setdiff1d(np.arange(400), first)
    free = np.setdiff1d(np.arange(512), group_ids(dealt[first], sizes))
    dealt[homeless] = np.stack(np.unravel_index(rng.permutation(free)[: len(homeless)], sizes), axis=1)
    error = [float((x - decode(torch.from_numpy(c).long(), books)).square().sum()) for c in (codes, dealt)]
    assert error[0] < 0.9 * error[1]


@given(
    sizes=SIZES,
    n=st.integers(1, 60),
    kind=st.sampled_from(["random", "identical", "few"]),
    seed=st.integers(0, 99),
)
def test_deduplication_counts_every_group_from_zero_in_item_order(
    sizes: tuple[int, ...], n: int, kind: str, seed: int
) -> None:
    x, books = latents_of(kind, n, 3, seed), random_books(sizes, 3, seed + 1)
    codes, out = assigned(DeduplicationCode(), x, books)
    raw = encode(x, books).numpy()
    seen: dict[tuple[int, ...], int] = {}
    for row, code in zip(raw.tolist(), codes.tolist(), strict=True):
        assert code == [*row, seen.get(tuple(row), 0)]
        seen[tuple(row)] = seen.get(tuple(row), 0) + 1
    assert out == (*sizes, max(seen.values()))
    assert len(np.unique(codes, axis=0)) == n
    assert codes.dtype == np.int32


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 1)), max_size=30))
def test_collision_rate_is_the_share_of_later_copies(rows: list[tuple[int, int, int]]) -> None:
    codes = np.array(rows, dtype=np.int32).reshape(-1, 3)
    expected = sum(row in rows[:i] for i, row in enumerate(rows)) / max(len(rows), 1)
    assert collision_rate(codes, (3, 4, 2)) == pytest.approx(expected)


@pytest.mark.parametrize("levels", [3, 7, 8, 9, 40])
def test_group_ids_do_not_overflow(levels: int) -> None:
    codes = np.zeros((300, levels), dtype=np.int32)
    codes[:256, 0] = np.arange(256)  # differ in the first level only, the first to be shifted out
    codes[256:, -1] = np.arange(1, 45)
    assert collision_rate(codes, (256,) * levels) == 0.0
    assert collision_rate(np.concatenate([codes, codes]), (256,) * levels) == 0.5


def test_group_ids_are_mixed_radix_numbers() -> None:
    assert group_ids(np.array([[1, 2, 3], [0, 0, 4]]), (2, 3, 5)).tolist() == [1 * 15 + 2 * 5 + 3, 4]


@settings(max_examples=60)
@given(
    sizes=SIZES,
    fill=st.floats(0.01, 1.0),
    share=st.floats(0.0, 1.0),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 999),
)
def test_new_items_get_free_leaves(
    sizes: tuple[int, ...], fill: float, share: float, kind: str, seed: int
) -> None:
    n = max(1, int(fill * prod(sizes)))
    n_old = int(share * n)
    books, x = random_books(sizes, 3, seed + 1), latents_of(kind, n, 3, seed)
    old, _ = assigned(UniqueAssignment(), x[:n_old], books)
    space = ResidualSpace(x[n_old:], books)
    new, out = UniqueAssignment()(space, space.nearest(), old)
    assert out == sizes
    assert len(np.unique(np.concatenate([old, new]), axis=0)) == n
    assert (new >= 0).all()
    assert (new < np.array(sizes)).all()


def test_a_new_item_moves_only_if_its_leaf_is_taken() -> None:
    books = random_books((6, 6, 12), 5, 0)
    x = torch.randn(60, 5, generator=torch.Generator().manual_seed(2))
    old, sizes = assigned(UniqueAssignment(), x[:40], books)
    space = ResidualSpace(x[40:], books)
    raw = space.nearest()
    new, _ = UniqueAssignment()(space, raw, old)
    wanted = group_ids(np.concatenate([old, raw]), sizes)
    _, first, leaf = np.unique(wanted, return_index=True, return_inverse=True)
    late = first[leaf] != np.arange(60)  # another item has it
    prefix = wanted // 12
    calm = ~np.isin(prefix, prefix[late])[40:]
    assert 0 < calm.sum() < 20
    assert np.array_equal(new[calm], raw[calm])
    assert np.array_equal(new[:, :2], raw[:, :2])


def test_no_room_for_new_items_is_an_error() -> None:
    books = random_books((4, 2), 2, 0)
    old, _ = assigned(UniqueAssignment(), torch.randn(7, 2), books)
    space = ResidualSpace(torch.randn(2, 2), books)
    with pytest.raises(ConfigError, match="9 items do not fit into codebooks of 4 x 2 codes"):
        UniqueAssignment()(space, space.nearest(), old)


def test_only_the_last_digits_of_duplicates_move_in_long_ids() -> None:
    books = [0.7**level * book for level, book in enumerate(random_books((16,) * 24, 8, 0))]
    x = torch.randn(400, 8, generator=torch.Generator().manual_seed(1))
    x[100:] = x[0]  # 301 alike: more than 16, at most 16 squared
    space = ResidualSpace(x, books)
    raw = space.nearest()
    codes, _ = UniqueAssignment()(space, raw)
    assert len(np.unique(codes, axis=0)) == 400
    assert np.array_equal(codes[:, :21], raw[:, :21])
    assert np.array_equal(codes[1:100], raw[1:100])


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(2, 4), min_size=1, max_size=3).map(tuple),
    n=st.integers(2, 40),
    n_new=st.integers(1, 40),
    kind=st.sampled_from(["random", "identical", "few"]),
    seed=st.integers(0, 99),
)
def test_new_items_count_on_where_their_group_ended(
    sizes: tuple[int, ...], n: int, n_new: int, kind: str, seed: int
) -> None:
    x, books = latents_of(kind, n + n_new, 3, seed), random_books(sizes, 3, seed + 1)
    old, out = assigned(DeduplicationCode(), x[:n], books)
    space = ResidualSpace(x[n:], books)
    if prod(out) < n + n_new:
        with pytest.raises(ConfigError, match="do not fit"):
            DeduplicationCode()(space, space.nearest(), old)
        return
    new, sizes_again = DeduplicationCode()(space, space.nearest(), old)
    assert sizes_again == out
    both = np.concatenate([old, new])
    assert len(np.unique(both, axis=0)) == n + n_new
    assert (both < np.array(out)).all()
    group = group_ids(both[:, :-1], sizes)
    for one in np.unique(group):  # gapless, old items first
        assert both[group == one, -1].tolist() == list(range((group == one).sum()))


@given(st.integers(0, 999), st.integers(1, 4), st.integers(1, 60))
def test_leaves_hold_as_many_as_they_may(seed: int, leaf: int, n: int) -> None:
    sizes = (3, 3, 2)
    space = ResidualSpace(latents_of("few", min(n, 18 * leaf), 3, seed), random_books(sizes, 3, seed + 1))
    codes = settled(space, space.nearest(), np.empty((0, 3), dtype=np.int32), leaf)
    assert np.unique(group_ids(codes, sizes), return_counts=True)[1].max() <= leaf
