"""Gradients through the arg-min."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from genrec.errors import ConfigError
from genrec.tokenizer.estimators import (
    Estimator,
    GumbelSoftmax,
    HardEstimator,
    RotationTrick,
    Sinkhorn,
    StraightThrough,
    closeness,
)

HARD: list[HardEstimator] = [StraightThrough(), RotationTrick()]


def sample(seed: int = 0, rows: int = 20, width: int = 6, codes: int = 9) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(rows, width, generator=g, dtype=torch.float64)
    return z, torch.randn(codes, width, generator=g, dtype=torch.float64)


def pulled_back(estimator: Estimator, z: Tensor, book: Tensor, upstream: Tensor) -> Tensor:
    """The gradient that reaches z when `upstream` arrives at the output."""
    leaf = z.clone().requires_grad_()
    passed, _ = estimator(leaf, book)
    (gradient,) = torch.autograd.grad(passed, leaf, upstream)
    return gradient


@pytest.mark.parametrize("estimator", HARD)
def test_forward_is_the_nearest_code(estimator: Estimator) -> None:
    z, book = sample()
    passed, index = estimator(z, book)
    assert torch.equal(index, (z[:, None] - book[None]).square().sum(2).argmin(1))
    torch.testing.assert_close(passed, book[index])


@pytest.mark.parametrize("estimator", HARD)
def test_forward_of_odd_vectors_is_still_the_code(estimator: Estimator) -> None:
    book = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    z = torch.tensor([[0.0, 0.0], [2.0, 0.0], [5.0, 0.0], [1e-8, 0.0], [-0.3, 0.0]])
    passed, index = estimator(z.requires_grad_(), book)
    assert torch.equal(passed, book[index])
    (gradient,) = torch.autograd.grad(passed.sum(), z)
    assert gradient.abs().max() <= 2.0  # no direction, no explosion
    opposite, _ = estimator(torch.tensor([[-1.0, 0.0]]), book[:1])
    assert torch.equal(opposite, book[:1])


def test_straight_through_hands_the_gradient_on() -> None:
    z, book = sample()
    upstream = torch.randn(z.shape, generator=torch.Generator().manual_seed(1), dtype=z.dtype)
    assert torch.equal(pulled_back(StraightThrough(), z, book, upstream), upstream)


def test_rotation_keeps_the_angle_between_gradient_and_code() -> None:
    z, book = sample()
    upstream = torch.randn(z.shape, generator=torch.Generator().manual_seed(1), dtype=z.dtype)
    gradient = pulled_back(RotationTrick(), z, book, upstream)
    code = book[RotationTrick()(z, book)[1]]
    torch.testing.assert_close(F.cosine_similarity(gradient, z), F.cosine_similarity(upstream, code))
    scale = code.norm(dim=1) / z.norm(dim=1)
    torch.testing.assert_close(gradient.norm(dim=1), scale * upstream.norm(dim=1))


def test_rotation_is_the_matrix_of_the_plane_of_both_vectors() -> None:
    z, book = sample(rows=8)
    upstream = torch.randn(z.shape, generator=torch.Generator().manual_seed(2), dtype=z.dtype)
    gradient = pulled_back(RotationTrick(), z, book, upstream)
    index = RotationTrick()(z, book)[1]
    for row, (one, code) in enumerate(zip(z, book[index], strict=True)):
        a, b = one / one.norm(), code / code.norm()
        cosine = a @ b
        skew = torch.outer(b, a) - torch.outer(a, b)  # generator of the rotation in the plane (Rodrigues)
        rotation = torch.eye(len(a), dtype=a.dtype) + skew + skew @ skew / (1 + cosine)
        torch.testing.assert_close(rotation @ a, b)
        expected = code.norm() / one.norm() * rotation.T @ upstream[row]
        torch.testing.assert_close(gradient[row], expected)


@pytest.mark.parametrize("estimator", HARD)
def test_codes_get_no_gradient_from_the_output(estimator: Estimator) -> None:
    z, book = sample()
    passed, _ = estimator(z.requires_grad_(), book.requires_grad_())
    assert torch.autograd.grad(passed.sum(), book, allow_unused=True)[0] is None


@pytest.mark.parametrize("estimator", [GumbelSoftmax(), Sinkhorn()], ids=lambda e: type(e).__name__)
def test_inference_takes_the_nearest_code(estimator: Estimator) -> None:
    z, book = sample(rows=60)
    with torch.no_grad():
        passed, index = estimator(z, book)
    torch.testing.assert_close(passed, book[index])
    assert torch.equal(index, StraightThrough()(z, book)[1])


def test_closeness_orders_codes_as_distances_do() -> None:
    z, book = sample()
    expected = (z[:, None] - book[None]).square().sum(2)
    near = closeness(z, book)
    torch.testing.assert_close(2 * (near[:, :1] - near), expected - expected[:, :1])


def test_closeness_keeps_its_digits_far_from_the_origin() -> None:
    z, book = sample(rows=200)
    far = closeness((z + 1000).float(), (book + 1000).float())
    assert (far.argmax(1) == closeness(z, book).argmax(1)).float().mean() > 0.99
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(closeness(z.float(), book.float()).argmax(1), closeness(z, book).argmax(1))


def uneven(rows: int = 64, codes: int = 16) -> tuple[Tensor, Tensor]:
    """Rows of which the nearest codes are a few: most codes lie a bit aside."""
    g = torch.Generator().manual_seed(0)
    z, book = torch.randn(rows, 6, generator=g), torch.randn(codes, 6, generator=g)
    book[4:] += 1.5
    return z, book


def test_sinkhorn_uses_codes_evenly() -> None:
    z, book = uneven()
    counts = torch.bincount(Sinkhorn(epsilon=0.2, iterations=50)(z, book)[1], minlength=16)
    nearest = torch.bincount(StraightThrough()(z, book)[1], minlength=16)
    assert (nearest == 0).sum() >= 4
    assert (counts > 0).all()
    assert counts.max() <= 6 < nearest.max()  # 64 / 16 is even


def test_sinkhorn_comes_close_to_the_best_assignment() -> None:
    """As many rows as codes: the cheapest plan under uniform marginals is the Hungarian algorithm's matching."""
    z, book = uneven(rows=16)
    distance = torch.cdist(z, book).square()
    _, best = linear_sum_assignment(distance.numpy())
    _, index = Sinkhorn(epsilon=0.2, iterations=100)(z, book)
    cost, least = (float(distance[range(16), i].sum()) for i in (index, torch.from_numpy(best)))
    assert len(index.unique()) >= 15
    assert cost == pytest.approx(least, rel=0.05)


def test_sinkhorn_does_not_push_rows_into_another_cluster() -> None:
    g = torch.Generator().manual_seed(0)
    book = torch.cat([torch.randn(4, 6, generator=g), 100 + torch.randn(4, 6, generator=g)])
    z = torch.cat([torch.randn(56, 6, generator=g), 100 + torch.randn(8, 6, generator=g)])
    _, index = Sinkhorn(iterations=100)(z, book)
    assert torch.equal(index >= 4, torch.arange(64) >= 56)
    assert len(index[:56].unique()) == 4


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 1e6])
def test_sinkhorn_depends_on_no_unit(scale: float) -> None:
    z, book = uneven()
    assert torch.equal(Sinkhorn()(scale * z, scale * book)[1], Sinkhorn()(z, book)[1])


def test_sinkhorn_of_rows_that_are_codes_stays_finite() -> None:
    _, book = uneven()
    passed, index = Sinkhorn()(book.clone().requires_grad_(), book)
    assert torch.equal(index, torch.arange(16))
    torch.testing.assert_close(passed, book)


@pytest.mark.parametrize("gradient", [StraightThrough(), RotationTrick()])
def test_sinkhorn_passes_gradients_as_it_is_told(gradient: HardEstimator) -> None:
    z, book = sample(rows=40)
    upstream = torch.randn(z.shape, generator=torch.Generator().manual_seed(1), dtype=z.dtype)
    estimator = Sinkhorn(gradient=gradient)
    leaf = z.clone().requires_grad_()
    code = book[estimator(z, book)[1]]
    (expected,) = torch.autograd.grad(gradient.through(leaf, code), leaf, upstream)
    torch.testing.assert_close(pulled_back(estimator, z, book, upstream), expected)


def test_a_cold_gumbel_draws_codes_as_often_as_their_gaussians_say() -> None:
    torch.manual_seed(0)
    book = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.5]], dtype=torch.float64)
    z = torch.tensor([[0.4, 0.3]], dtype=torch.float64)
    drawn, _ = GumbelSoftmax(temperature=1e-4)(z.expand(20_000, 2).clone().requires_grad_(), book)
    shares = (torch.cdist(drawn.detach(), book) < 1e-6).double().mean(0)
    distance = (z - book).square().sum(1)
    variance = distance.min() / 2  # per coordinate
    torch.testing.assert_close(shares, torch.softmax(-distance / (2 * variance), 0), atol=0.012, rtol=0)


def test_gumbel_mixes_codes_and_reaches_all_of_them() -> None:
    torch.manual_seed(0)
    z, book = sample()
    passed, _ = GumbelSoftmax(temperature=2.0)(z.requires_grad_(), book.requires_grad_())
    low, high = book.detach().min(0).values, book.detach().max(0).values
    assert ((passed > low - 1e-9) & (passed < high + 1e-9)).all()
    of_z, of_book = torch.autograd.grad(passed.square().sum(), (z, book))
    assert (of_z.abs().sum(1) > 0).all()
    assert (of_book.abs().sum(1) > 0).all()


def test_a_cold_gumbel_chooses_the_nearest_code() -> None:
    torch.manual_seed(0)
    book = 10 * torch.eye(4)
    passed, index = GumbelSoftmax(temperature=1e-3)((book + 0.1).requires_grad_(), book)
    assert index.tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(passed, book)


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_gumbel_names_the_wrong_temperature(temperature: float) -> None:
    with pytest.raises(ConfigError, match=r"GumbelSoftmax\.temperature must be positive"):
        GumbelSoftmax(temperature)


@pytest.mark.parametrize(("name", "value"), [("epsilon", 0.0), ("epsilon", -0.1), ("iterations", 0)])
def test_sinkhorn_names_the_wrong_argument(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"Sinkhorn\.{name} must be"):
        Sinkhorn(**{name: value})  # type: ignore[arg-type]
