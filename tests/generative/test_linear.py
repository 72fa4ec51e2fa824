from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.generative import linear as module
from genrec.generative.linear import Linear, linear


def grads(product: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    weights = torch.linspace(-1, 1, product.numel()).view(product.shape).to(product.dtype)
    return torch.autograd.grad((product * weights).sum(), of)


@pytest.mark.parametrize("onednn", [False, module.ONEDNN])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(7,), (5, 7), (2, 5, 7), (0, 7)])
@pytest.mark.parametrize("outputs", [3, 11])
def test_products_and_gradients_are_those_of_torch(
    monkeypatch: pytest.MonkeyPatch, onednn: bool, dtype: torch.dtype, shape: tuple[int, ...], outputs: int
) -> None:
    monkeypatch.setattr(module, "ONEDNN", onednn)
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    weight = torch.randn(outputs, 7, dtype=dtype, requires_grad=True)
    bias = torch.randn(outputs, dtype=dtype, requires_grad=True)
    for of in ((x, weight), (x, weight, bias)):
        found, expected = linear(*of), F.linear(*of)
        torch.testing.assert_close(found, expected)
        for one, other in zip(grads(found, *of), grads(expected, *of), strict=True):
            torch.testing.assert_close(one, other)


def test_rows_of_a_table_and_transposed_input_are_fine() -> None:
    table, x = torch.randn(20, 6, requires_grad=True), torch.randn(6, 4).t()
    linear(x, table[5:9]).square().sum().backward()
    assert table.grad is not None
    found, table.grad = table.grad, None
    F.linear(x, table[5:9]).square().sum().backward()
    torch.testing.assert_close(found, table.grad)


def test_no_gradient_is_made_that_nobody_asked_for() -> None:
    layer = Linear(4, 3)
    layer.weight.requires_grad_(False)
    x = torch.randn(2, 4, requires_grad=True)
    layer(x).sum().backward()
    torch.testing.assert_close(x.grad, layer.weight.sum(0).expand(2, 4))
    assert layer.weight.grad is None


def test_lower_precision_of_autocast_is_kept() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert Linear(4, 3)(torch.randn(2, 4)).dtype == torch.bfloat16
