"""Residual quantisation: a vector as a sum of one code vector per level, coarse to fine.

Source: Zeghidour et al. 2021, "SoundStream" (§3.3); Rajput et al. 2023, "TIGER" (§3.1) for items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genrec.tokenizer.kmeans import BLOCK, kmeans, nearest, sample, squared_distances
from genrec.tokenizer.space import Codes, Rows

Restore = Callable[[Tensor], Tensor]
"""From a sum of code vectors [M, d] to features [M, D]."""


def fit_codebooks(
    x: Tensor, sizes: Sequence[int], *, iterations: int, generator: torch.Generator
) -> list[Tensor]:
    """k-means per level on what the levels above left over: x [M, D] -> L codebooks [K_l, D].

    Of many rows a random part is enough (`genrec.tokenizer.kmeans.sample`).
    """
    codebooks = []
    residual = sample(x, max(sizes, default=1), generator)
    for size in sizes:
        codebook = kmeans(residual, size, iterations=iterations, generator=generator)
        residual = residual - codebook[nearest(residual, codebook)[0]]
        codebooks.append(codebook)
    return codebooks


def encode(x: Tensor, codebooks: Sequence[Tensor]) -> Tensor:
    """Greedy nearest codes: x [M, D] -> codes int64 [M, L]."""
    codes = torch.empty(len(x), len(codebooks), dtype=torch.int64, device=x.device)
    for start in range(0, len(x), BLOCK):
        residual = x[start : start + BLOCK]
        for level, codebook in enumerate(codebooks):
            index, _ = nearest(residual, codebook)
            residual = residual - codebook[index]
            codes[start : start + BLOCK, level] = index
    return codes


def decode(codes: Tensor, codebooks: Sequence[Tensor]) -> Tensor:
    """Sum of the chosen code vectors: codes int64 [M, L] -> [M, D]; a further de-duplication code adds nothing."""
    total = codebooks[0].new_zeros(len(codes), codebooks[0].shape[1])
    for level, book in enumerate(codebooks):
        total += book[codes[:, level]]
    return total


def error_by_depth(
    target: Tensor, codes: Tensor, codebooks: Sequence[Tensor], restore: Restore
) -> tuple[float, ...]:
    """Share of the target's variance left after 0, 1, .. L levels.

    Args:
        target: features [N, D].
        codes: int64 [N, L].
        restore: from a sum of code vectors to features; asked in blocks.
    """
    mean = target.mean(0)
    left = np.zeros(1 + len(codebooks))
    for start in range(0, len(target), BLOCK):
        block, chosen = target[start : start + BLOCK], codes[start : start + BLOCK]
        left[0] += float((block - mean).square().sum())
        summed = codebooks[0].new_zeros(len(block), codebooks[0].shape[1])
        for level, book in enumerate(codebooks):
            summed += book[chosen[:, level]]
            left[level + 1] += float((block - restore(summed)).square().sum())
    return (1.0, *(left[1:] / max(left[0], 1e-12)).tolist())


class ResidualSpace:
    """Items among residual codebooks.

    Args:
        latents: [N, d].
        codebooks: L tensors [K_l, d].
        target: features [N, D] that the error is measured on; the latents if None.
        restore: from a sum of code vectors to features; the sum itself if None.
    """

    def __init__(
        self,
        latents: Tensor,
        codebooks: Sequence[Tensor],
        target: Tensor | None = None,
        restore: Restore | None = None,
    ) -> None:
        self.latents, self.codebooks = latents, codebooks
        self.target = latents if target is None else target
        self.restore = restore or (lambda summed: summed)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codebook size of each level."""
        return tuple(len(book) for book in self.codebooks)

    @torch.no_grad()
    def nearest(self) -> Codes:
        """Greedy nearest codes int32 [N, L]."""
        return encode(self.latents, self.codebooks).cpu().numpy().astype(np.int32)

    @torch.no_grad()
    def costs(self, level: int, rows: Rows, codes: Codes) -> NDArray[np.float32]:
        """Squared distances of what the levels before leave over to the codes of a level [M, K]."""
        residual = self.latents[torch.from_numpy(rows)]
        if level:
            chosen = torch.from_numpy(codes[:, :level].astype(np.int64))
            residual = residual - decode(chosen, self.codebooks[:level])
        distances: NDArray[np.float32] = squared_distances(residual, self.codebooks[level]).cpu().numpy()
        return distances

    @torch.no_grad()
    def error_by_depth(self, codes: Codes) -> tuple[float, ...]:
        """Share of the target's variance left after 0, 1, .. L levels."""
        chosen = torch.from_numpy(codes.astype(np.int64)).to(self.target.device)
        return error_by_depth(self.target, chosen, self.codebooks, self.restore)
