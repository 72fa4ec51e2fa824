"""Gradients through the arg-min."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.errors import ConfigError
from genrec.tokenizer.estimators import Estimator, GumbelSoftmax, RotationTrick, StraightThrough

HARD: list[Estimator] = [StraightThrough(), RotationTrick()]


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


def test_gumbel_is_hard_without_gradients() -> None:
    z, book = sample()
    with torch.no_grad():
        passed, index = GumbelSoftmax()(z, book)
    assert torch.equal(passed, book[index])
    assert torch.equal(index, StraightThrough()(z, book)[1])


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
