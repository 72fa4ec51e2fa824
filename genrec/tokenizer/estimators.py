"""How a code is chosen for each row, and how gradients pass the choice, which has no derivative."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.errors import ConfigError
from genrec.tokenizer.processes import mean_over_processes, sum_over_processes

SHORTEST = 1e-6  # length of a latent that still has a direction
SMALLEST = 1e-30  # squared distance that counts as none; its inverse is still a float32
FARTHEST = 60.0  # cost at which a Sinkhorn kernel stops falling, so that no sum underflows in float32


class Estimator(Protocol):
    """Chooses a code per row and returns its vector with a gradient for the encoder.

    Attributes:
        moves_codes: whether the returned vector hands a gradient to the codes, too.
    """

    moves_codes: bool

    def __call__(self, z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
        """Z [B, D], codebook [K, D] -> (quantised [B, D], index int64 [B])."""
        ...


class HardEstimator(Estimator, Protocol):
    """An estimator whose output is the chosen code itself, however it was chosen."""

    def through(self, z: Tensor, code: Tensor) -> Tensor:
        """Z [B, D], code [B, D] without gradient -> the code, with a gradient for z."""
        ...


def closeness(z: Tensor, codebook: Tensor) -> Tensor:
    """Half of |z|^2 - |z - c|^2 with the mean of z as origin: z [B, D], codebook [K, D] -> [B, K].

    Larger is nearer, and a row's differences are those of the squared distances, at half the passes over [B, K]
    that they cost. At least float32, autocast or not; the origin keeps the squares short (see `squared_distances`).
    """
    with torch.autocast(z.device.type, enabled=False):
        precise = torch.promote_types(z.dtype, torch.float32)
        origin = z.detach().to(precise).mean(0)
        z, codebook = z.to(precise) - origin, codebook.to(precise) - origin
        return torch.addmm(codebook.square().sum(1), z, codebook.T, beta=-0.5)


class StraightThrough:
    """The gradient of the output is handed to the input unchanged (van den Oord et al. 2017, VQ-VAE, §3.2)."""

    moves_codes = False

    def __call__(self, z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
        """Z [B, D], codebook [K, D] -> (quantised [B, D], index int64 [B])."""
        index = closeness(z.detach(), codebook.detach()).argmax(1)
        return self.through(z, codebook.detach()[index]), index

    def through(self, z: Tensor, code: Tensor) -> Tensor:
        """Z [B, D], code [B, D] without gradient -> the code, whose gradient is z's."""
        return code + (z - z.detach())


class RotationTrick:
    """The gradient is rotated and scaled as the vector was (Fifty et al. 2024, "rotation trick", §4.2).

    The output is lambda R z with R the rotation of z's direction onto the code's and lambda the ratio of
    their lengths, both held constant, so that the angle between gradient and code survives the quantiser. A z
    without direction (a residual that a code met exactly) gets the straight-through gradient.
    """

    moves_codes = False

    def __call__(self, z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
        """Z [B, D], codebook [K, D] -> (quantised [B, D], index int64 [B])."""
        index = closeness(z.detach(), codebook.detach()).argmax(1)
        return self.through(z, codebook.detach()[index]), index

    def through(self, z: Tensor, code: Tensor) -> Tensor:
        """Z [B, D], code [B, D] without gradient -> the code, whose gradient is rotated and scaled for z."""
        fixed = z.detach()
        start, end = F.normalize(fixed, dim=1), F.normalize(code, dim=1)
        middle = F.normalize(start + end, dim=1)
        length = fixed.norm(dim=1, keepdim=True)
        scale = code.norm(dim=1, keepdim=True) / length.clamp_min(SHORTEST)
        reflected = z - 2 * (z * middle).sum(1, keepdim=True) * middle
        rotated = reflected + 2 * (z * start).sum(1, keepdim=True) * end
        passed = torch.where(length > SHORTEST, scale * rotated, z)
        return code + (passed - passed.detach())  # the code itself, not a rounded rotation onto it


class Sinkhorn:
    """Chooses codes in training by entropic optimal transport, so that a batch uses all of them evenly.

    The batch's rows are transported to the codes at the least squared distance under uniform marginals (Cuturi
    2013, §4), and a row takes the code that gets most of it; LC-Rec (Zheng et al. 2024, §III-B) does so at its last
    level. At inference codes are the nearest, as they must be for one item at a time.

    Costs are measured in mean squared distances to the nearest code and stop growing at `epsilon * 60`: rows change
    to codes in reach, but a cluster with too many rows does not push them into another one.

    Args:
        epsilon: entropy of the plan; smaller is closer to exact transport.
        iterations: of scaling rows and columns. A few balance in part, which spares the ids of uneven clusters (SwAV,
            Caron et al. 2020, takes three); many balance wholly.
        gradient: how gradients pass the chosen code; straight-through if None.
    """

    moves_codes = False

    def __init__(
        self, epsilon: float = 0.05, iterations: int = 5, gradient: HardEstimator | None = None
    ) -> None:
        if not epsilon > 0:
            raise ConfigError(f"Sinkhorn.epsilon must be positive, got {epsilon}")
        if iterations < 1:
            raise ConfigError(f"Sinkhorn.iterations must be at least 1, got {iterations}")
        self.epsilon, self.iterations = epsilon, iterations
        self.gradient: HardEstimator = gradient or StraightThrough()

    def __call__(self, z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
        """Z [B, D], codebook [K, D] -> (quantised [B, D], index int64 [B])."""
        fixed, codes = z.detach(), codebook.detach()
        near = closeness(fixed, codes)
        index = near.argmax(1)
        if torch.is_grad_enabled():
            error = (fixed - codes[index]).square().sum(1).mean()
            index = self.balanced(near, mean_over_processes(error))
        return self.gradient.through(z, codes[index]), index

    def balanced(self, near: Tensor, unit: Tensor) -> Tensor:
        """Index [B] of the code that gets most of each row's mass.

        Args:
            near: `closeness` of rows and codes [B, K]; it is overwritten.
            unit: of squared distance, [].
        """
        rate = 2 / (self.epsilon * unit).clamp_min(SMALLEST)  # 2: closeness is half a squared distance
        kernel = near.sub_(near.amax(1, keepdim=True)).mul_(rate).clamp_min_(-FARTHEST).exp_()
        factor = kernel.new_ones(kernel.shape[1])  # of each column
        for _ in range(self.iterations):
            factor = 1 / sum_over_processes((1 / (kernel @ factor)) @ kernel)
            factor /= factor.mean()
        return kernel.mul_(factor).argmax(1)


class GumbelSoftmax:
    """Draws a code and relaxes the draw to a mixture (Jang et al. 2017, §2); the nearest code when not training.

    A code is as likely as under a Gaussian around it whose variance is the mean squared error of the nearest
    codes: the variance that SQ-VAE learns (Takida et al. 2022, §4), in closed form, so that noise shrinks with
    the error. The index is that of the nearest code, which is what the levels below will see at inference.

    Args:
        temperature: of the relaxation; towards 0 the mixture becomes the drawn code alone.
    """

    moves_codes = True

    def __init__(self, temperature: float = 0.5) -> None:
        if not temperature > 0:
            raise ConfigError(f"GumbelSoftmax.temperature must be positive, got {temperature}")
        self.temperature = temperature

    def __call__(self, z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
        """Z [B, D], codebook [K, D] -> (quantised [B, D], index int64 [B])."""
        near = closeness(z, codebook)
        index = near.detach().argmax(1)
        if not torch.is_grad_enabled():
            return codebook[index], index
        error = (z.detach() - codebook.detach()[index]).square().mean()  # a coordinate's variance
        rate = 1 / (self.temperature * error.clamp_min(SMALLEST))
        noise = torch.rand_like(near).log_().neg_().log_().mul_(-1 / self.temperature)  # Gumbel: -log(-log u)
        mixture = torch.softmax(torch.addcmul(noise, near, rate), dim=1)
        return mixture.to(codebook.dtype) @ codebook, index
