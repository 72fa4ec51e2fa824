"""Random ids: the control that says what the *semantic* in semantic ids is worth."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
from torch import Tensor

from genrec.errors import ConfigError
from genrec.tokenizer.base import Tokenized
from genrec.tokenizer.collisions import CollisionRule


class RandomIds:
    """Distinct random leaves; features are ignored.

    Args:
        codebook_size: K, codes per level.
        n_levels: L.
        seed: of the draw.
    """

    def __init__(self, codebook_size: int = 256, n_levels: int = 3, *, seed: int = 0) -> None:
        if codebook_size < 2 or n_levels < 1:
            raise ConfigError(
                "RandomIds.codebook_size must be at least 2 and RandomIds.n_levels at least 1, got "
                f"{codebook_size} and {n_levels}"
            )
        self.sizes = (codebook_size,) * n_levels
        self.seed = seed

    def tokenize(self, vectors: Tensor, rule: CollisionRule) -> Tokenized:
        """Features [N, D] (only N is used) -> codes; there is no collision to handle."""
        n_leaves = prod(self.sizes)
        if n_leaves < len(vectors):
            raise ConfigError(
                f"{len(vectors)} items do not fit into {n_leaves} random ids; raise RandomIds.codebook_size"
            )
        leaves = _distinct(np.random.default_rng(self.seed), n_leaves, len(vectors))
        codes = np.stack(np.unravel_index(leaves, self.sizes), axis=1).astype(np.int32)
        return Tokenized(codes, self.sizes)

    def weights(self) -> Mapping[str, Tensor]:
        """Nothing is learned."""
        return {}


def _distinct(rng: np.random.Generator, high: int, n: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """n distinct integers below `high` in random order; memory grows with n, not with `high`."""
    if high <= 4 * n:
        return rng.permutation(high)[:n]
    found = np.empty(0, dtype=np.int64)
    while len(found) < n:
        drawn = np.concatenate([found, rng.integers(high, size=2 * n)])
        _, first = np.unique(drawn, return_index=True)
        found = drawn[np.sort(first)]
    return found[:n]
