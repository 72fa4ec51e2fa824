"""RQ-VAE: an autoencoder whose bottleneck is a residual quantiser.

Sources: Lee et al. 2022, "Autoregressive image generation using residual quantization"; Rajput et al. 2023,
"Recommender systems with generative retrieval" (TIGER, §3.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from genrec.errors import ConfigError
from genrec.tokenizer.base import Tokenized
from genrec.tokenizer.collisions import CollisionRule
from genrec.tokenizer.estimators import Estimator, StraightThrough
from genrec.tokenizer.kmeans import nearest
from genrec.tokenizer.residual import encode, error_by_depth, fit_codebooks


def mlp(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers of the given widths with ReLU between."""
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(widths):
        layers += [nn.Linear(width_in, width_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class RqVae(nn.Module):
    """Encoder MLP, L residual codebooks, decoder MLP.

    Inputs are standardised inside, with the mean and scale of the catalogue, so that a learning rate means
    the same for every feature. Reconstruction, codebook and commitment terms are all summed over features
    and averaged over rows: with a mean over features the two latent terms would outweigh reconstruction by
    `input_dim / embed_dim`, which is what collapses codebooks.

    Args:
        input_dim: width D of the item features.
        embed_dim: width of the latent space and of the code vectors.
        codebook_size: K, codes per level.
        n_levels: L.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        commitment_weight: beta of the commitment term.
        estimator: how gradients pass the quantiser; straight-through if None.
        kmeans_iterations: Lloyd iterations of the k-means++ start of the codebooks.
        reset_every: training steps between searches for dead codes; 0 never resets.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        input_dim: int,
        embed_dim: int = 32,
        codebook_size: int = 256,
        n_levels: int = 3,
        *,
        hidden: Sequence[int] = (512, 256, 128),
        commitment_weight: float = 0.25,
        estimator: Estimator | None = None,
        kmeans_iterations: int = 10,
        reset_every: int = 100,
    ) -> None:
        super().__init__()
        least = {
            "input_dim": (input_dim, 1),
            "embed_dim": (embed_dim, 1),
            "codebook_size": (codebook_size, 2),
            "n_levels": (n_levels, 1),
            "kmeans_iterations": (kmeans_iterations, 0),
            "reset_every": (reset_every, 0),
        }
        for name, (value, low) in least.items():
            if value < low:
                raise ConfigError(f"RqVae.{name} must be at least {low}, got {value}")
        if any(width < 1 for width in hidden):
            raise ConfigError(f"RqVae.hidden must hold positive widths, got {tuple(hidden)}")
        if commitment_weight < 0:
            raise ConfigError(f"RqVae.commitment_weight must not be negative, got {commitment_weight}")
        self.commitment_weight = commitment_weight
        self.estimator = estimator or StraightThrough()
        self.kmeans_iterations = kmeans_iterations
        self.reset_every = reset_every
        widths = [input_dim, *hidden, embed_dim]
        self.encoder = mlp(widths)
        self.decoder = mlp(widths[::-1])
        self.codebooks = nn.ParameterList(torch.randn(codebook_size, embed_dim) for _ in range(n_levels))
        self.register_buffer("mean", torch.zeros(input_dim))
        self.register_buffer("scale", torch.ones(input_dim))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codebook size of each level."""
        return tuple(len(book) for book in self.codebooks)

    def standardise(self, x: Tensor) -> Tensor:
        """Raw features [B, D] -> zero mean, unit scale."""
        return (x - self.mean) / self.scale

    @torch.no_grad()
    def start(self, x: Tensor, generator: torch.Generator) -> None:
        """Set the input scale and start every codebook with k-means++ on encoded features x [M, D].

        k-means runs on the CPU, where the generator is, so that every device starts from the same draw.
        """
        self.mean.copy_(x.mean(0))
        deviation = x.std(0, correction=0)
        self.scale.copy_(torch.where(deviation > 1e-6, deviation, 1.0))
        latents = self.latents(x).cpu()
        books = fit_codebooks(latents, self.sizes, iterations=self.kmeans_iterations, generator=generator)
        for parameter, book in zip(self.codebooks, books, strict=True):
            parameter.copy_(book)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Scalar losses of a batch x [B, D]: `loss`, `reconstruction`, `quantisation`."""
        target = self.standardise(x)
        residual = self.encoder(target)  # [B, d]
        quantised = torch.zeros_like(residual)
        codebook_loss = commitment = residual.new_zeros(())
        for book in self.codebooks:
            passed, index = self.estimator(residual, book)  # [B, d], [B]
            chosen = book[index]
            codebook_loss = codebook_loss + (residual.detach() - chosen).square().sum(1).mean()
            commitment = commitment + (residual - chosen.detach()).square().sum(1).mean()
            quantised = quantised + passed
            residual = residual - chosen.detach()
        reconstruction = (self.decoder(quantised) - target).square().sum(1).mean()
        quantisation = codebook_loss + self.commitment_weight * commitment
        return {
            "loss": reconstruction + quantisation,
            "reconstruction": reconstruction.detach(),
            "quantisation": quantisation.detach(),
        }

    @torch.no_grad()
    def reset_dead_codes(self, x: Tensor) -> int:
        """Move codes that no row of x [M, D] chooses onto random residuals of x; returns how many moved.

        Call it between optimiser steps with several rows per code, else live codes look dead.
        """
        residual = self.latents(x)
        moved = 0
        for book in self.codebooks:
            index, _ = nearest(residual, book)
            dead = torch.nonzero(torch.bincount(index, minlength=len(book)) == 0)[:, 0]
            rows = torch.randperm(len(residual), device=residual.device)[: len(dead)]
            following = residual - book[index]
            book[dead[: len(rows)]] = residual[rows]
            residual = following
            moved += len(rows)
        return moved

    @torch.no_grad()
    def latents(self, x: Tensor) -> Tensor:
        """Raw features [N, D] -> latents [N, embed_dim]."""
        return torch.cat([self.encoder(self.standardise(block)) for block in torch.split(x, 65_536)])

    @torch.no_grad()
    def tokenize(self, vectors: Tensor, rule: CollisionRule) -> Tokenized:
        """Raw features float32 [N, D] -> codes, with the model as trained."""
        latents = self.latents(vectors)
        books = [book.detach() for book in self.codebooks]
        raw = encode(latents, books)
        codes, sizes = rule(latents, books)
        errors = error_by_depth(self.standardise(vectors), raw, books, self.decoder)
        return Tokenized(codes, sizes, raw.numpy().astype(np.int32), errors)

    def weights(self) -> Mapping[str, Tensor]:
        """The state dict."""
        return self.state_dict()
