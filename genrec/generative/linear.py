"""A linear map whose products run at full speed on every x86 processor.

torch multiplies float32 matrices on a CPU with MKL, which leaves more than half of the speed of processors
of other makers than its own unused. oneDNN, which is part of torch too, does not: on an AMD EPYC with AVX-512
one thread does 80 GFLOP/s with the one and 190 with the other.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # type: ignore[no-untyped-call]


class Linear(nn.Linear):
    """`y = x W^T`, or `x W^T + b` with a bias."""

    def __init__(self, inputs: int, outputs: int, bias: bool = False) -> None:
        super().__init__(inputs, outputs, bias)

    def forward(self, x: Tensor) -> Tensor:
        """X [..., inputs] -> [..., outputs]."""
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x W^T + b`: x [..., I], weight [O, I], bias [O] or None -> [..., O]."""
    plain = x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32 and x.numel() > 0
    if not (ONEDNN and plain) or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
        return F.linear(x, weight, bias)
    return _Linear.apply(x, weight, bias)  # type: ignore[no-any-return]


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        for_x = _product(grad, weight.t()) if ctx.needs_input_grad[0] else None
        for_weight = None
        if ctx.needs_input_grad[1]:
            columns, outputs = _rows(x).t(), _rows(grad).t()  # [I, n], [O, n]
            narrow = len(columns) < len(outputs)  # the narrower one first is up to twice as fast
            for_weight = _product(columns, outputs).t() if narrow else _product(outputs, columns)
        for_bias = _rows(grad).sum(0) if ctx.needs_input_grad[2] else None
        return for_x, for_weight, for_bias


def _rows(x: Tensor) -> Tensor:
    """[..., k] -> [n, k], without gaps or repeats: a product with those takes hundreds of times as long."""
    return x.reshape(-1, x.shape[-1]).contiguous()


def _product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """`a b^T + bias`: a [..., k], b [m, k], bias [m] -> [..., m]."""
    return torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")  # type: ignore[no-any-return]
