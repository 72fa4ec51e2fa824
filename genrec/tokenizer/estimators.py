"""How gradients pass a quantiser: three answers to the arg-min that has no derivative."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.errors import ConfigError
from genrec.tokenizer.kmeans import squared_distances

SHORTEST = 1e-6  # length of a latent that still has a direction


class Estimator(Protocol):
    """Chooses a code per row and returns its vector with a gradient for the encoder."""

    def __call__(self, z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
        """Z [B, D], codebook [K, D] -> (quantised [B, D], index int64 [B])."""
        ...


class StraightThrough:
    """The gradient of the output is handed to the input unchanged (van den Oord et al. 2017, VQ-VAE, §3.2)."""

    def __call__(self, z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
        """Z [B, D], codebook [K, D] -> (quantised [B, D], index int64 [B])."""
        index = squared_distances(z.detach(), codebook.detach()).argmin(1)
        return z + (codebook[index] - z).detach(), index


class RotationTrick:
    """The gradient is rotated and scaled as the vector was (Fifty et al. 2024, "rotation trick", §4.2).

    The output is lambda R z with R the rotation of z's direction onto the code's and lambda the ratio of
    their lengths, both held constant, so that the angle between gradient and code survives the quantiser. A z
    without direction (a residual that a code met exactly) gets the straight-through gradient.
    """

    def __call__(self, z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
        """Z [B, D], codebook [K, D] -> (quantised [B, D], index int64 [B])."""
        index = squared_distances(z.detach(), codebook.detach()).argmin(1)
        code = codebook[index].detach()
        start = F.normalize(z.detach(), dim=1)
        end = F.normalize(code, dim=1)
        middle = F.normalize(start + end, dim=1)
        length = z.detach().norm(dim=1, keepdim=True)
        scale = code.norm(dim=1, keepdim=True) / length.clamp_min(SHORTEST)
        reflected = z - 2 * (z * middle).sum(1, keepdim=True) * middle
        rotated = reflected + 2 * (z * start).sum(1, keepdim=True) * end
        passed = torch.where(length > SHORTEST, scale * rotated, z)
        return code + (passed - passed.detach()), index  # the code itself, not a rounded rotation onto it


class GumbelSoftmax:
    """Samples a soft mixture of codes with Gumbel noise (Jang et al. 2017), hard arg-min when not training.

    Args:
        temperature: of the softmax over negative squared distances; small is close to the arg-min.
    """

    def __init__(self, temperature: float = 0.2) -> None:
        if temperature <= 0:
            raise ConfigError(f"GumbelSoftmax.temperature must be positive, got {temperature}")
        self.temperature = temperature

    def __call__(self, z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
        """Z [B, D], codebook [K, D] -> (quantised [B, D], index int64 [B])."""
        distance = squared_distances(z, codebook)
        index = distance.detach().argmin(1)
        if not torch.is_grad_enabled():
            return codebook[index], index
        scale = distance.detach().mean().clamp_min(1e-6)  # noise of unit scale needs logits of unit scale
        soft = F.gumbel_softmax(-distance / scale / self.temperature, tau=1.0)
        return soft @ codebook, index
