"""Random ids: the control that says what the *semantic* in semantic ids is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from genrec.errors import ConfigError
from genrec.tokenizer.base import Tokenized
from genrec.tokenizer.collisions import CollisionRule, group_ids
from genrec.tokenizer.space import Codes, Rows


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
        self.codebook_size, self.n_levels = codebook_size, n_levels
        self.seed = seed

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codebook size of each level."""
        return (self.codebook_size,) * self.n_levels

    def tokenize(self, vectors: Tensor, rule: CollisionRule) -> Tokenized:
        """Features [N, D] (only N is used) -> codes; there is no collision to handle."""
        if prod(self.sizes) < len(vectors):
            raise ConfigError(
                f"{len(vectors)} items do not fit into {prod(self.sizes)} random ids; raise "
                "RandomIds.codebook_size or RandomIds.n_levels"
            )
        return Tokenized(_distinct(np.random.default_rng(self.seed), self.sizes, len(vectors)), self.sizes)

    def weights(self) -> Mapping[str, Tensor]:
        """Nothing is learned."""
        return {}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Nothing is learned."""

    def space(self, vectors: Tensor) -> RandomSpace:
        """New items [M, D] (only M is used), each drawn to a random leaf that others may have, too."""
        return RandomSpace(self.sizes, len(vectors), self.seed)


class RandomSpace:
    """Items without a place of their own: every code is as good as any other.

    Args:
        sizes: codebook size of each level.
        n_items: N.
        seed: of all draws.
    """

    def __init__(self, sizes: tuple[int, ...], n_items: int, seed: int) -> None:
        self.sizes, self.n_items, self.seed = sizes, n_items, seed

    def nearest(self) -> Codes:
        """A random leaf for each item int32 [N, L]."""
        rng = np.random.default_rng([self.seed, self.n_items])  # not the draw of the first catalogue
        return rng.integers(self.sizes, size=(self.n_items, len(self.sizes)), dtype=np.int32)

    def costs(self, level: int, rows: Rows, codes: Codes) -> NDArray[np.float32]:
        """Random numbers [M, K]: an item that must move goes anywhere."""
        rng = np.random.default_rng([self.seed, level, *rows[:1].tolist()])
        return rng.random((len(rows), self.sizes[level]), dtype=np.float32)

    def error_by_depth(self, codes: Codes) -> tuple[float, ...]:
        """Empty: nothing is learned."""
        return ()


def _distinct(rng: np.random.Generator, sizes: Sequence[int], n: int) -> NDArray[np.int32]:
    """n distinct rows of codes [n, L] in random order; memory grows with n, not with the number of leaves."""
    n_leaves = prod(sizes)
    if n_leaves <= 4 * n:
        leaves = rng.permutation(n_leaves)[:n]
        return np.stack(np.unravel_index(leaves, sizes), axis=1).astype(np.int32)
    codes = np.empty((0, len(sizes)), dtype=np.int32)
    while len(codes) < n:
        codes = np.concatenate([codes, rng.integers(sizes, size=(2 * n, len(sizes)), dtype=np.int32)])
        _, first = np.unique(group_ids(codes, sizes), return_index=True)
        codes = codes[np.sort(first)]
    return codes[:n]
