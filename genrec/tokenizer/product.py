"""Product quantisation: long ids whose digits describe blocks of a rotated vector, independently of each other.

Sources: Jegou et al. 2011, "Product quantization for nearest neighbor search"; Ge et al. 2013, "Optimized product
quantization" (§3.1 the alternation, §3.2 the start from principal axes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genrec.errors import ConfigError
from genrec.tokenizer.base import Tokenized, stored_weights
from genrec.tokenizer.collisions import CollisionRule
from genrec.tokenizer.kmeans import BLOCK, kmeans, lloyd, nearest, sample, squared_distances
from genrec.tokenizer.space import Codes, Rows


class ProductQuantiser:
    """OPQ: a rotation that evens out what the blocks have to say, and a k-means codebook per block.

    A digit says nothing about the others, so an id of L digits is as exact at its end as at its start, and a
    decoder may predict all digits at once. Items that share an id keep all but their last digits
    (`UniqueAssignment`).

    Args:
        codebook_size: K, codes per digit.
        n_levels: L, digits; at most the width of the features.
        iterations: Lloyd iterations of the codebooks, after the rotation is found.
        rotations: alternations between rotation and codebooks; 0 keeps the start from principal axes.
        seed: of the k-means++ starts, and of the rows that a catalogue of more than 512 K items is fitted to.
    """

    def __init__(
        self,
        codebook_size: int = 256,
        n_levels: int = 8,
        *,
        iterations: int = 25,
        rotations: int = 20,
        seed: int = 0,
    ) -> None:
        least = {"codebook_size": 2, "n_levels": 1, "iterations": 0, "rotations": 0}
        given = {
            "codebook_size": codebook_size,
            "n_levels": n_levels,
            "iterations": iterations,
            "rotations": rotations,
        }
        for name, low in least.items():
            if given[name] < low:
                raise ConfigError(f"ProductQuantiser.{name} must be at least {low}, got {given[name]}")
        self.codebook_size, self.n_levels = codebook_size, n_levels
        self.iterations, self.rotations = iterations, rotations
        self.seed = seed
        self.mean, self.rotation = torch.zeros(0), torch.zeros(0, 0)
        self.codebooks: list[Tensor] = []

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codebook size of each digit."""
        return (self.codebook_size,) * self.n_levels

    def tokenize(self, vectors: Tensor, rule: CollisionRule) -> Tokenized:
        """Features float32 [N, D] -> codes; rotation and codebooks are fitted to these features.

        Raises:
            ConfigError: there are more digits than columns.
        """
        width = vectors.shape[1]
        if self.n_levels > width:
            raise ConfigError(
                f"ProductQuantiser.n_levels is {self.n_levels}, but the item features have {width} columns, and "
                "every digit needs one of its own; lower it or take wider features"
            )
        generator = torch.Generator().manual_seed(self.seed)
        self.mean = vectors.mean(0)
        rows = sample(vectors, self.codebook_size, generator) - self.mean
        self.rotation = principal_start(rows, self.n_levels)
        self.codebooks = [
            kmeans(block, self.codebook_size, iterations=1, generator=generator)
            for block in split_blocks(rows @ self.rotation, self.n_levels)
        ]
        for _ in range(self.rotations):
            self._alternate(rows)
        blocks = split_blocks(rows @ self.rotation, self.n_levels)
        self.codebooks = [
            lloyd(block, book, self.iterations) for block, book in zip(blocks, self.codebooks, strict=True)
        ]
        return Tokenized.of(self.space(vectors), rule)

    def _alternate(self, rows: Tensor) -> None:
        """One step of the codebooks under the rotation, then the best rotation onto what they give back."""
        blocks = split_blocks(rows @ self.rotation, self.n_levels)
        self.codebooks = [lloyd(block, book, 1) for block, book in zip(blocks, self.codebooks, strict=True)]
        given_back = [
            book[nearest(block, book)[0]] for block, book in zip(blocks, self.codebooks, strict=True)
        ]
        left, _, right = torch.linalg.svd((rows.T @ torch.cat(given_back, dim=1)).double())
        self.rotation = (left @ right).to(rows.dtype)

    def weights(self) -> Mapping[str, Tensor]:
        """Mean, rotation and codebooks."""
        books = {f"codebooks.{level}": book for level, book in enumerate(self.codebooks)}
        return {"mean": self.mean, "rotation": self.rotation, **books}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take rotation and codebooks of an earlier run."""
        (self.mean,) = stored_weights(weights, {"mean": (None,)})
        width = len(self.mean)
        blocks = {
            f"codebooks.{level}": (self.codebook_size, size)
            for level, size in enumerate(block_widths(width, self.n_levels))
        }
        self.rotation, *self.codebooks = stored_weights(weights, {"rotation": (width, width), **blocks})

    def space(self, vectors: Tensor) -> ProductSpace:
        """Items among the codebooks as fitted."""
        return ProductSpace(vectors, self.mean, self.rotation, self.codebooks)


def block_widths(width: int, n_blocks: int) -> list[int]:
    """Columns of each block; they differ by one at most, the wider ones first."""
    return [width // n_blocks + (block < width % n_blocks) for block in range(n_blocks)]


def split_blocks(rows: Tensor, n_blocks: int) -> tuple[Tensor, ...]:
    """Rows [M, D] -> n_blocks tensors [M, d], contiguous."""
    widths = block_widths(rows.shape[1], n_blocks)
    return tuple(block.contiguous() for block in torch.split(rows, widths, dim=1))


def principal_start(rows: Tensor, n_blocks: int) -> Tensor:
    """Orthogonal [D, D] from centred rows [M, D] whose blocks of columns share out the variance evenly.

    The principal axes, strongest first, each go to the block whose product of variances is smallest so far
    (Ge et al., §3.2.2): by their bound, that is the best a rotation can do for Gaussian data.
    """
    variance, axes = np.linalg.eigh((rows.T @ rows).double().numpy() / max(len(rows), 1))
    widths = block_widths(rows.shape[1], n_blocks)
    chosen: list[list[int]] = [[] for _ in widths]
    product = np.zeros(n_blocks)
    floor = (
        max(float(variance[-1]), 1e-30) * 1e-9
    )  # axes without variance weigh alike, and no logarithm is infinite
    for axis in range(len(variance) - 1, -1, -1):
        room = [len(axes_of) < width for axes_of, width in zip(chosen, widths, strict=True)]
        block = int(np.where(room, product, np.inf).argmin())
        chosen[block].append(axis)
        product[block] += np.log(max(variance[axis], floor) / floor)
    return torch.from_numpy(axes[:, np.concatenate(chosen)].copy()).to(rows.dtype)


class ProductSpace:
    """Items among the codebooks of rotated blocks; the rotation is done in blocks of rows, when asked.

    Args:
        vectors: features [N, D].
        mean: [D].
        rotation: orthogonal [D, D].
        codebooks: L tensors [K, d_l] whose widths add up to D.
    """

    def __init__(self, vectors: Tensor, mean: Tensor, rotation: Tensor, codebooks: Sequence[Tensor]) -> None:
        self.vectors, self.mean, self.rotation, self.codebooks = vectors, mean, rotation, codebooks
        bounds = np.cumsum([0, *(book.shape[1] for book in codebooks)])
        self.columns = [slice(int(start), int(stop)) for start, stop in pairwise(bounds)]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codebook size of each digit."""
        return tuple(len(book) for book in self.codebooks)

    def nearest(self) -> Codes:
        """Nearest code of each block int32 [N, L]."""
        codes = np.empty((len(self.vectors), len(self.codebooks)), dtype=np.int32)
        for start in range(0, len(codes), BLOCK):
            rotated = (self.vectors[start : start + BLOCK] - self.mean) @ self.rotation
            for level, (columns, book) in enumerate(zip(self.columns, self.codebooks, strict=True)):
                codes[start : start + BLOCK, level] = nearest(rotated[:, columns], book)[0].numpy()
        return codes

    def costs(self, level: int, rows: Rows, codes: Codes) -> NDArray[np.float32]:
        """Squared distances within a block [M, K], whatever the other digits."""
        part = (self.vectors[torch.from_numpy(rows)] - self.mean) @ self.rotation[:, self.columns[level]]
        distances: NDArray[np.float32] = squared_distances(part, self.codebooks[level]).numpy()
        return distances

    def error_by_depth(self, codes: Codes) -> tuple[float, ...]:
        """Share of variance left after 0 .. L digits, those to come standing for the mean of their block."""
        whole = 0.0
        won = np.zeros(len(self.codebooks))
        for start in range(0, len(codes), BLOCK):
            rotated = (self.vectors[start : start + BLOCK] - self.mean) @ self.rotation
            whole += float(rotated.square().sum())
            for level, (columns, book) in enumerate(zip(self.columns, self.codebooks, strict=True)):
                chosen = book[torch.from_numpy(codes[start : start + BLOCK, level].astype(np.int64))]
                part = rotated[:, columns]
                won[level] += float(part.square().sum() - (part - chosen).square().sum())
        return (1.0, *(1.0 - won.cumsum() / max(whole, 1e-12)).tolist())
