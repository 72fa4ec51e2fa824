"""Top-k against a sort, ties and odd floats included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from genrec.topk import tie_ranks, topk

FEW = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 3e38, -3e38, float("inf"), float("-inf")])
ANY = st.floats(width=32, allow_nan=False)


def sorted_columns(scores: np.ndarray, k: int, ranks: np.ndarray) -> np.ndarray:
    """Best first, equal scores by rank: the definition, row by row."""
    return np.stack([np.lexsort((ranks, -row.astype(np.float64)))[:k] for row in scores])


@given(
    scores=hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 40)), elements=FEW | ANY),
    seed=st.integers(0, 99) | st.none(),
    data=st.data(),
)
def test_is_a_sort_with_ties_by_rank(scores: np.ndarray, seed: int | None, data: st.DataObject) -> None:
    n = scores.shape[1]
    k = data.draw(st.integers(0, n))
    ranks = None if seed is None else tie_ranks(n, seed)
    values, columns = topk(torch.from_numpy(scores), k, ranks)
    expected = sorted_columns(scores, k, np.arange(n) if ranks is None else ranks.numpy())
    assert np.array_equal(columns.numpy(), expected)
    assert np.array_equal(values.numpy(), np.take_along_axis(scores, expected, axis=1))


def test_constant_scores_follow_the_ranks_and_not_the_columns() -> None:
    ranks = tie_ranks(50, seed=3)
    _, columns = topk(torch.ones(2, 50), 50, ranks)
    assert torch.equal(ranks[columns[0]], torch.arange(50))
    assert torch.equal(columns[0], columns[1])
    assert not torch.equal(columns[0], torch.arange(50))


def test_the_largest_ranks_do_not_reach_the_next_score() -> None:
    scores = torch.tensor([1.0, float(np.nextafter(np.float32(1), np.float32(2))), float("-inf")])
    _, columns = topk(scores, 3, torch.tensor([0, 2**32 - 1, 2**32 - 2]))
    assert columns.tolist() == [1, 0, 2]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_floats_keep_their_type(dtype: torch.dtype) -> None:
    values, columns = topk(torch.tensor([[0.5, 2.0, 0.5, -1.0]], dtype=dtype), 3)
    assert values.dtype == dtype
    assert columns.tolist() == [[1, 0, 2]]


def test_more_than_two_axes_and_ranks_of_their_own() -> None:
    scores = torch.zeros(2, 3, 4)
    ranks = torch.tensor([3, 2, 1, 0]).expand(2, 1, 4)
    _, columns = topk(scores, 2, ranks)
    assert columns.shape == (2, 3, 2)
    assert (columns == torch.tensor([3, 2])).all()


def test_tie_ranks_are_a_permutation_that_the_seed_decides() -> None:
    assert torch.equal(tie_ranks(100, 1).sort().values, torch.arange(100))
    assert torch.equal(tie_ranks(100, 1), tie_ranks(100, 1))
    assert not torch.equal(tie_ranks(100, 1), tie_ranks(100, 2))
