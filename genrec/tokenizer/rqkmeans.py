"""Residual k-means: semantic ids without training, the strong default on small catalogues."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from genrec.errors import ConfigError
from genrec.tokenizer.base import Tokenized, stored_weights
from genrec.tokenizer.collisions import CollisionRule
from genrec.tokenizer.residual import ResidualSpace, fit_codebooks


class RqKMeans:
    """k-means on the features, then on what each level leaves over.

    Args:
        codebook_size: K, codes per level.
        n_levels: L.
        iterations: Lloyd iterations per level.
        seed: of the k-means++ start, and of the rows that a catalogue of more than 512 K items is fitted to.
    """

    def __init__(
        self, codebook_size: int = 256, n_levels: int = 3, *, iterations: int = 50, seed: int = 0
    ) -> None:
        if codebook_size < 2:
            raise ConfigError(f"RqKMeans.codebook_size must be at least 2, got {codebook_size}")
        if n_levels < 1:
            raise ConfigError(f"RqKMeans.n_levels must be at least 1, got {n_levels}")
        if iterations < 0:
            raise ConfigError(f"RqKMeans.iterations must not be negative, got {iterations}")
        self.codebook_size, self.n_levels = codebook_size, n_levels
        self.iterations = iterations
        self.seed = seed
        self.codebooks: list[Tensor] = []

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codebook size of each level."""
        return (self.codebook_size,) * self.n_levels

    def tokenize(self, vectors: Tensor, rule: CollisionRule) -> Tokenized:
        """Features float32 [N, D] -> codes; the codebooks are fitted to these features."""
        generator = torch.Generator().manual_seed(self.seed)
        self.codebooks = fit_codebooks(vectors, self.sizes, iterations=self.iterations, generator=generator)
        return Tokenized.of(self.space(vectors), rule)

    def weights(self) -> Mapping[str, Tensor]:
        """The codebooks."""
        return {f"codebooks.{level}": book for level, book in enumerate(self.codebooks)}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take the codebooks of an earlier run."""
        shape = (self.codebook_size, None)
        self.codebooks = stored_weights(weights, {f"codebooks.{i}": shape for i in range(self.n_levels)})

    def space(self, vectors: Tensor) -> ResidualSpace:
        """Items among the codebooks as fitted."""
        return ResidualSpace(vectors, self.codebooks)
