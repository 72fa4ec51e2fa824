"""The cheap dropout has the right rate, mean and gradient, and draws from the generator that checkpoints keep."""

from __future__ import annotations

import pytest
import torch

from genrec.errors import ConfigError
from genrec.generative.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5])
def test_rate_and_mean(p: float) -> None:
    torch.manual_seed(0)
    y = Dropout(p)(torch.ones(1001, 999))
    share = (y == 0).double().mean().item()
    assert share == pytest.approx(p, abs=1 / 256 + 0.002)
    assert y.mean().item() == pytest.approx(1.0, abs=0.005)


def test_elements_that_share_a_draw_are_independent() -> None:
    torch.manual_seed(0)
    dropped = (Dropout(0.5)(torch.ones(80_000)) == 0).double().view(-1, 8)
    correlation = torch.corrcoef(dropped.T) - torch.eye(8)
    assert correlation.abs().max() < 0.05
    assert (dropped.mean(0) - 0.5).abs().max() < 0.02


def test_the_gradient_is_the_mask() -> None:
    torch.manual_seed(0)
    x = torch.randn(50, 7, requires_grad=True)
    y = Dropout(0.4)(x)
    y.sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert torch.equal(x.grad * x, y)


def test_evaluation_and_zero_leave_everything() -> None:
    x = torch.randn(5, 3)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_the_seed_decides() -> None:
    x = torch.ones(333)
    torch.manual_seed(3)
    first = Dropout(0.3)(x)
    state = torch.get_rng_state()
    second = Dropout(0.3)(x)
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(Dropout(0.3)(x), second)


@pytest.mark.parametrize("p", [-0.1, 1.0, float("nan")])
def test_bad_probabilities_are_refused(p: float) -> None:
    with pytest.raises(ConfigError, match=r"Dropout\.p"):
        Dropout(p)
