"""k-means against its definition and against scikit-learn."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from torch import Tensor

from genrec.tokenizer import kmeans as module
from genrec.tokenizer.kmeans import kmeans, nearest, plus_plus, sample, squared_distances


def inertia(x: Tensor, centres: Tensor) -> float:
    return float(nearest(x, centres)[1].double().sum())


def blobs(k: int, rows: int, width: int, spread: float, seed: int) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    centres = 20 * torch.randn(k, width, generator=g)
    return centres.repeat_interleave(rows, 0) + spread * torch.randn(k * rows, width, generator=g)


@given(m=st.integers(1, 20), k=st.integers(1, 10), d=st.integers(1, 6), seed=st.integers(0, 99))
def test_squared_distances_are_those_of_the_definition(m: int, k: int, d: int, seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    x, c = torch.randn(m, d, generator=g).double(), torch.randn(k, d, generator=g).double()
    expected = (x[:, None] - c[None]).square().sum(2)
    torch.testing.assert_close(squared_distances(x, c), expected, atol=1e-12, rtol=1e-9)


def test_squared_distances_survive_a_far_origin(generator: torch.Generator) -> None:
    x, c = torch.randn(50, 8, generator=generator), torch.randn(7, 8, generator=generator)
    torch.testing.assert_close(
        squared_distances(x + 3000, c + 3000), squared_distances(x, c), atol=0.02, rtol=0.01
    )


def test_squared_distances_are_not_rounded_by_autocast(generator: torch.Generator) -> None:
    x, c = torch.randn(50, 8, generator=generator), torch.randn(7, 8, generator=generator)
    with torch.autocast("cpu", torch.bfloat16):
        inside = squared_distances(x, c)
    assert torch.equal(inside, squared_distances(x, c))


def test_squared_distances_have_the_gradient_of_the_definition(generator: torch.Generator) -> None:
    x = torch.randn(5, 3, generator=generator).double().requires_grad_()
    c = torch.randn(4, 3, generator=generator).double().requires_grad_()
    assert torch.autograd.gradcheck(squared_distances, (x, c))


def test_nearest_is_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch, generator: torch.Generator) -> None:
    x, c = torch.randn(100, 4, generator=generator), torch.randn(9, 4, generator=generator)
    whole = nearest(x, c)
    monkeypatch.setattr(module, "BLOCK", 7)
    parts = nearest(x, c)
    assert torch.equal(whole[0], parts[0])
    torch.testing.assert_close(whole[1], parts[1])


@pytest.mark.parametrize("seed", range(10))
def test_plus_plus_takes_one_row_of_each_far_blob(seed: int) -> None:
    x = blobs(8, 30, 5, spread=1e-3, seed=1)
    picks = plus_plus(x, 8, torch.Generator().manual_seed(seed))
    owner = torch.arange(8).repeat_interleave(30)
    assert (picks[:, None] == x[None]).all(2).any(1).all()  # rows of x, not means
    found = {int(owner[(x == pick).all(1)][0]) for pick in picks}
    assert found == set(range(8))


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_plus_plus_takes_every_distinct_row_before_any_twice(offset: float) -> None:
    distinct = offset + torch.arange(6.0)[:, None] * torch.tensor([1.0, -2.0, 0.5])
    x = distinct.repeat_interleave(torch.tensor([1, 50, 1, 7, 1, 100]), 0)
    for seed in range(20):
        picks = plus_plus(x, 6, torch.Generator().manual_seed(seed))
        assert torch.equal(picks.unique(dim=0), distinct.unique(dim=0))


def test_plus_plus_draws_by_squared_distance_and_takes_the_best_of_two() -> None:
    x = torch.tensor([[0.0], [1.0], [3.0]])
    second = []
    for seed in range(3000):
        picks = plus_plus(x, 2, torch.Generator().manual_seed(seed))[:, 0].tolist()
        if picks[0] == 0.0:
            second.append(picks[1])
    assert set(second) == {1.0, 3.0}
    # 3 is drawn with probability 9 / (1 + 9) and is the better one: 1 is taken if it is drawn twice
    assert abs(second.count(1.0) / len(second) - 0.01) < 0.013  # four standard errors


def test_inertia_never_rises() -> None:
    x = blobs(30, 20, 6, spread=8.0, seed=3)
    runs = [
        inertia(x, kmeans(x, 25, iterations=i, generator=torch.Generator().manual_seed(5))) for i in range(20)
    ]
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in pairwise(runs))
    assert runs[-1] < 0.95 * runs[0]


@pytest.mark.parametrize("spread", [0.1, 8.0])
def test_is_as_good_as_scikit_learn(spread: float) -> None:
    x = blobs(12, 40, 6, spread=spread, seed=2)
    g = torch.Generator().manual_seed(0)
    ours = min(inertia(x, kmeans(x, 12, iterations=100, generator=g)) for _ in range(5))
    theirs = KMeans(12, n_init=5, random_state=0).fit(x.numpy()).inertia_
    assert ours <= 1.03 * theirs


@pytest.mark.parametrize("k", [5, 12, 40])
def test_no_centre_is_dead_while_rows_are_distinct(k: int) -> None:
    for seed in range(5):
        x = blobs(4, 10, 3, spread=1.0, seed=seed)
        centres = kmeans(x, k, iterations=50, generator=torch.Generator().manual_seed(seed))
        assert len(nearest(x, centres)[0].unique()) == k


def test_a_dead_centre_moves_to_the_worst_served_row(
    monkeypatch: pytest.MonkeyPatch, generator: torch.Generator
) -> None:
    x = torch.tensor([[0.0], [0.2], [0.4], [9.0]])
    monkeypatch.setattr(module, "plus_plus", lambda *_: torch.tensor([[0.2], [-500.0]]))
    assert kmeans(x, 2, iterations=5, generator=generator).flatten().sort().values.tolist() == pytest.approx(
        [0.2, 9.0]
    )


@pytest.mark.parametrize("k", [1, 3, 7, 20])
def test_more_centres_than_distinct_rows(k: int, generator: torch.Generator) -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]).repeat(2, 1)
    centres = kmeans(x, k, iterations=10, generator=generator)
    assert centres.shape == (k, 2)
    assert torch.isfinite(centres).all()
    if k >= 3:
        assert inertia(x, centres) < 1e-9


def test_identical_rows_and_a_single_row(generator: torch.Generator) -> None:
    for x in (torch.full((9, 4), 1e3) + torch.arange(4), torch.ones(1, 4)):
        centres = kmeans(x, 3, iterations=5, generator=generator)
        assert torch.equal(centres, x[:1].expand(3, 4))


def test_the_generator_decides() -> None:
    x = blobs(10, 20, 4, spread=5.0, seed=0)
    one, same, other = (
        kmeans(x, 8, iterations=3, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_rows_stay_as_they_were(generator: torch.Generator) -> None:
    x = blobs(3, 5, 2, spread=1.0, seed=0)
    before = x.clone()
    kmeans(x, 6, iterations=5, generator=generator)
    assert torch.equal(x, before)


def test_many_rows_are_fitted_by_a_part_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    x = blobs(6, 200, 4, spread=2.0, seed=1)
    assert sample(x, 3, torch.Generator()) is x
    monkeypatch.setattr(module, "ROWS_PER_CENTRE", 50)
    part = sample(x, 6, torch.Generator().manual_seed(0))
    assert part.shape == (300, 4)
    assert len(torch.cat([part, x]).unique(dim=0)) == len(x.unique(dim=0)), "rows of x"
    assert len(part.unique(dim=0)) == 300, "no row twice"
    whole, some = (
        kmeans(rows, 6, iterations=20, generator=torch.Generator().manual_seed(3)) for rows in (x, part)
    )
    assert inertia(x, some) < 1.05 * inertia(x, whole)
