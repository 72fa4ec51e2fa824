"""Residual quantisation: a vector as a sum of one code vector per level, coarse to fine.

Source: Zeghidour et al. 2021, "SoundStream" (§3.3); Rajput et al. 2023, "TIGER" (§3.1) for items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from genrec.tokenizer.kmeans import kmeans, nearest


def fit_codebooks(
    x: Tensor, sizes: Sequence[int], *, iterations: int, generator: torch.Generator
) -> list[Tensor]:
    """k-means per level on what the levels above left over: x [M, D] -> L codebooks [K_l, D]."""
    codebooks = []
    residual = x
    for size in sizes:
        codebook = kmeans(residual, size, iterations=iterations, generator=generator)
        residual = residual - codebook[nearest(residual, codebook)[0]]
        codebooks.append(codebook)
    return codebooks


def encode(x: Tensor, codebooks: Sequence[Tensor]) -> Tensor:
    """Greedy nearest codes: x [M, D] -> codes int64 [M, L]."""
    residual = x
    codes = []
    for codebook in codebooks:
        index, _ = nearest(residual, codebook)
        residual = residual - codebook[index]
        codes.append(index)
    return torch.stack(codes, dim=1)


def decode(codes: Tensor, codebooks: Sequence[Tensor]) -> Tensor:
    """Sum of the chosen code vectors: codes int64 [M, L] -> [M, D]; a further de-duplication code adds nothing."""
    return torch.stack([book[codes[:, level]] for level, book in enumerate(codebooks)]).sum(0)


def error_by_depth(
    target: Tensor, codes: Tensor, codebooks: Sequence[Tensor], restore: Callable[[Tensor], Tensor]
) -> tuple[float, ...]:
    """Share of the target's variance left after 0, 1, .. L levels.

    Args:
        target: features [N, D].
        codes: int64 [N, L].
        restore: from a sum of code vectors [N, d] to features [N, D].
    """
    total = (target - target.mean(0)).square().sum().clamp_min(1e-12)
    errors = [1.0]
    for depth in range(1, len(codebooks) + 1):
        restored = restore(decode(codes[:, :depth], codebooks[:depth]))
        errors.append(float((target - restored).square().sum() / total))
    return tuple(errors)
