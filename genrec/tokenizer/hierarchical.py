"""Hierarchical balanced k-means: ids as the paths of a search tree whose nodes share out their items evenly.

Sources: Nister & Stewenius 2006, "Scalable recognition with a vocabulary tree" (k-means within every node); Tay et
al. 2022, "Transformer memory as a differentiable search index" (§3.2, its paths as ids); Bradley et al. 2000,
"Constrained k-means clustering" (prices that even out clusters).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genrec.errors import ConfigError
from genrec.tokenizer.base import Tokenized, stored_weights
from genrec.tokenizer.collisions import CollisionRule, UniqueAssignment, settle_level
from genrec.tokenizer.kmeans import BLOCK, kmeans, sample, squared_distances
from genrec.tokenizer.placement import cheapest, spread
from genrec.tokenizer.residual import fit_codebooks
from genrec.tokenizer.space import Codes, Rows

ROWS_PER_CENTRE = (
    128  # that a node's centres are looked for with; their place is the mean of all rows in the end
)
ENTRIES = 1 << 23  # distances held at once while nodes are split: 32 MB


class HierarchicalKMeans:
    """Every node splits its items into K clusters whose sizes differ by one at most; the id is the path.

    While a level has at least one item per child, its nodes have centres of their own, so that what a code
    means depends on the path. Below, where a node has fewer items than children, the levels share codebooks of
    what the path leaves over, and each item of a node gets a child of its own at the least total distance. The
    splits of a level start from shared centres too, which gives a code a similar meaning under all its nodes.
    Ids are unique by construction: the collision rule is asked for new items only.

    Args:
        codebook_size: K, children per node.
        n_levels: L.
        iterations: of k-means in every node.
        seed: of the k-means++ starts, and of the rows that large nodes are split with.
    """

    def __init__(
        self, codebook_size: int = 256, n_levels: int = 3, *, iterations: int = 40, seed: int = 0
    ) -> None:
        if codebook_size < 2:
            raise ConfigError(f"HierarchicalKMeans.codebook_size must be at least 2, got {codebook_size}")
        if n_levels < 1:
            raise ConfigError(f"HierarchicalKMeans.n_levels must be at least 1, got {n_levels}")
        if iterations < 0:
            raise ConfigError(f"HierarchicalKMeans.iterations must not be negative, got {iterations}")
        self.codebook_size, self.n_levels = codebook_size, n_levels
        self.iterations = iterations
        self.seed = seed
        self.centres: list[Tensor] = []  # of the upper levels: [K ** level, K, D]
        self.codebooks: list[Tensor] = []  # of the lower levels: [K, D]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Children per node of each level."""
        return (self.codebook_size,) * self.n_levels

    def tokenize(self, vectors: Tensor, rule: CollisionRule) -> Tokenized:
        """Features float32 [N, D] -> codes; the tree is built of these features, and the rule has nothing to do."""
        UniqueAssignment().check(self.sizes, len(vectors))
        generator = torch.Generator().manual_seed(self.seed)
        self.centres, self.codebooks = [], []
        codes = np.zeros((len(vectors), self.n_levels), dtype=np.int32)
        n_upper = 0
        while n_upper < self.n_levels and self.codebook_size ** (n_upper + 1) <= len(vectors):
            self._split_nodes(vectors, codes, n_upper, generator)
            n_upper += 1
        rows = sample(torch.arange(len(vectors)), self.codebook_size, generator)
        left = vectors[rows] - self.space(vectors).restored(rows.numpy(), codes[rows.numpy()], n_upper)
        self.codebooks = fit_codebooks(
            left, self.sizes[n_upper:], iterations=self.iterations, generator=generator
        )
        space = self.space(vectors)
        space.descend(codes, n_upper)
        if n_upper < self.n_levels:
            none = np.empty((0, self.n_levels), dtype=np.int32)
            settle_level(space, codes, none, n_upper, room=1)
            space.descend(codes, n_upper + 1)
        raw = space.nearest()
        return Tokenized(codes, self.sizes, raw, space.error_by_depth(raw))

    def _split_nodes(self, vectors: Tensor, codes: Codes, level: int, generator: torch.Generator) -> None:
        """Split all nodes of a level: appends its centres, and fills in `codes` [N, L] there."""
        k, width = self.codebook_size, vectors.shape[1]
        n_nodes = k**level
        node = numbers(codes[:, :level], k)
        origin = self.centres[-1].view(n_nodes, width) if level else vectors.mean(0, keepdim=True)
        rows = sample(torch.arange(len(vectors)), k, generator)
        start = kmeans(
            vectors[rows] - origin[torch.from_numpy(node)[rows]],
            k,
            iterations=self.iterations,
            generator=generator,
        )
        shuffled = torch.randperm(len(vectors), generator=generator).numpy()
        order = shuffled[np.argsort(node[shuffled], kind="stable")]  # by node, at random within
        held = np.bincount(node, minlength=n_nodes)
        first = np.cumsum(held) - held
        taken = min(int(held.max()), ROWS_PER_CENTRE * k)
        centres, prices = [], []
        step = max(1, ENTRIES // (taken * k))
        for part in np.split(np.arange(n_nodes), np.arange(step, n_nodes, step)):
            place = first[part, None] + np.minimum(np.arange(taken), held[part, None] - 1)
            real = torch.from_numpy(np.arange(taken) < held[part, None])
            found = even_centres(
                vectors[torch.from_numpy(order[place])],
                real,
                origin[torch.from_numpy(part), None] + start,
                self.iterations,
            )
            centres.append(found[0])
            prices.append(found[1])
        self.centres.append(torch.cat(centres))
        codes[:, level] = even_codes(self.space(vectors), codes, torch.cat(prices).numpy(), node)
        child = torch.from_numpy(node * k + codes[:, level])
        sums = torch.zeros(n_nodes * k, width).index_add_(0, child, vectors)
        counts = torch.bincount(child, minlength=n_nodes * k)
        self.centres[-1] = (sums / counts[:, None]).view(n_nodes, k, width)

    def weights(self) -> Mapping[str, Tensor]:
        """Centres of the upper levels, shared codebooks of the lower ones."""
        named = {f"centres.{level}": one for level, one in enumerate(self.centres)}
        return named | {f"codebooks.{len(self.centres) + i}": book for i, book in enumerate(self.codebooks)}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take the tree of an earlier run."""
        k = self.codebook_size
        upper = sum(name.startswith("centres.") for name in weights)
        self.centres = stored_weights(weights, {f"centres.{i}": (k**i, k, None) for i in range(upper)})
        books = {f"codebooks.{i}": (k, None) for i in range(upper, self.n_levels)}
        self.codebooks = stored_weights(weights, books)

    def space(self, vectors: Tensor) -> TreeSpace:
        """Items in the tree as built."""
        return TreeSpace(vectors, self.centres, self.codebooks)


def numbers(codes: Codes, k: int) -> NDArray[np.int64]:
    """Nodes [N] that prefixes [N, l] lead to, where every node has k children."""
    node = np.zeros(len(codes), dtype=np.int64)
    for level in range(codes.shape[1]):
        node = node * k + codes[:, level]
    return node


def even_centres(x: Tensor, real: Tensor, centres: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """k-means in P nodes at once, with a price per centre that rises while it has more than its share.

    The nearest centre is that of the least squared distance plus price: the Lagrange multipliers of equal
    sizes, found by subgradient steps that shrink. Sizes come out nearly even; `even_codes` does the rest.

    Args:
        x: rows of each node [P, m, D].
        real: bool [P, m]; the others only fill up.
        centres: start [P, K, D].

    Returns:
        (centres [P, K, D], prices [P, K]).
    """
    n_nodes, _, width = x.shape
    k = centres.shape[1]
    origin = x.mean(1, keepdim=True)  # short vectors keep the digits of expanded squares
    x, centres = x - origin, centres - origin
    weight = real.to(x.dtype)
    share = weight.sum(1, keepdim=True) / k  # [P, 1]
    shift = (torch.arange(n_nodes) * k)[:, None]
    prices = torch.zeros(n_nodes, k, dtype=x.dtype)
    best = centres, prices
    least = torch.full((n_nodes, 1), torch.inf, dtype=x.dtype)
    for step in range(iterations):
        squares = x.square().sum(2, keepdim=True) + centres.square().sum(2)[:, None]
        distance = torch.baddbmm(squares, x, centres.mT, alpha=-2).clamp_min_(0.0)  # [P, m, K]
        index = (distance + prices[:, None]).argmin(2)
        flat = (index + shift).view(-1)
        counts = torch.zeros(n_nodes * k, dtype=x.dtype).index_add_(0, flat, weight.view(-1)).view(n_nodes, k)
        uneven = (counts - share).square().sum(1, keepdim=True)
        better = uneven <= least
        least = torch.where(better, uneven, least)
        best = torch.where(better[..., None], centres, best[0]), torch.where(better, prices, best[1])
        own = distance.gather(2, index[..., None])[..., 0] * weight
        spent = torch.zeros(n_nodes * k, dtype=x.dtype).index_add_(0, flat, own.view(-1)).view(n_nodes, k)
        mean_own = own.sum(1, keepdim=True) / (share * k)
        radius = torch.where(counts > 0, spent / counts.clamp_min(1), mean_own)
        sums = torch.zeros(n_nodes * k, width, dtype=x.dtype)
        sums = sums.index_add_(0, flat, (x * weight[..., None]).view(-1, width)).view(n_nodes, k, width)
        centres = torch.where(counts[..., None] > 0, sums / counts.clamp_min(1)[..., None], centres)
        excess = (counts / share - 1).clamp(-1, 1)
        prices = prices + 0.5 * radius * excess * (1 - step / iterations)
    return best[0] + origin, best[1]


def even_codes(space: TreeSpace, codes: Codes, prices: NDArray[np.float32], node: NDArray[np.int64]) -> Codes:
    """Codes of a level int32 [N] such that the children of a node differ by one item at most.

    Args:
        codes: int32 [N, L]; those of the levels before are looked at.
        prices: float32 [nodes, K] that children cost beside the squared distance.
        node: int64 [N], below which each item is.
    """
    n_nodes, k = prices.shape
    level = len(space.centres) - 1

    def costs(rows: Rows) -> NDArray[np.float32]:
        return space.costs(level, rows, codes[rows]) + prices[node[rows]]

    def costs_left(some: Rows) -> NDArray[np.float32]:
        return costs(left[some])

    base = np.bincount(node, minlength=n_nodes) // k
    code = spread(costs, cheapest(costs, len(codes)), node, np.repeat(base[:, None], k, axis=1))
    left = np.flatnonzero(code < 0)  # fewer than k per node: one more for some of its children
    one_more = np.ones((n_nodes, k), dtype=np.int64)
    code[left] = spread(costs_left, cheapest(costs_left, len(left)), node[left], one_more)
    return code


class TreeSpace:
    """Items in a tree: centres of every node in the upper levels, shared codebooks in the lower ones.

    Args:
        vectors: features [N, D].
        centres: per upper level [K ** level, K, D].
        codebooks: per lower level [K, D], of what the levels before leave over.
    """

    def __init__(
        self,
        vectors: Tensor,
        centres: Sequence[Tensor],
        codebooks: Sequence[Tensor],
    ) -> None:
        self.vectors, self.centres, self.codebooks = vectors, centres, codebooks

    @property
    def sizes(self) -> tuple[int, ...]:
        """Children per node of each level."""
        return (*(one.shape[1] for one in self.centres), *(len(book) for book in self.codebooks))

    def nearest(self) -> Codes:
        """Cheapest child on the way down int32 [N, L]."""
        codes = np.zeros((len(self.vectors), len(self.sizes)), dtype=np.int32)
        self.descend(codes, 0)
        return codes

    def descend(self, codes: Codes, level: int) -> None:
        """Fill in `codes` [N, L] from a level on, with the cheapest child of each."""
        for deeper in range(level, len(self.sizes)):
            n_upper = min(deeper, len(self.centres))
            order = np.argsort(
                numbers(codes[:, :n_upper], self.sizes[0]), kind="stable"
            )  # few nodes in a block
            codes[order, deeper] = cheapest(
                lambda some, deeper=deeper, order=order: self.costs(  # type: ignore[misc]
                    deeper, order[some], codes[order[some]]
                ),
                len(codes),
            )

    def costs(self, level: int, rows: Rows, codes: Codes) -> NDArray[np.float32]:
        """Squared distances to the children of the nodes that `codes` lead to [M, K]."""
        x = self.vectors[torch.from_numpy(rows)]
        if level >= len(self.centres):
            left = x - self.restored(rows, codes, level)
            below: NDArray[np.float32] = squared_distances(
                left, self.codebooks[level - len(self.centres)]
            ).numpy()
            return below
        centres = self.centres[level]
        node = numbers(codes[:, :level], centres.shape[1])
        order = np.argsort(node, kind="stable")
        starts = np.flatnonzero(np.diff(node[order], prepend=-1))
        found = np.empty((len(rows), centres.shape[1]), dtype=np.float32)
        for mine in np.split(order, starts[1:]) if len(order) else ():
            one = int(node[mine[0]])
            found[mine] = squared_distances(x[torch.from_numpy(mine)], centres[one]).numpy()
        return found

    def restored(self, rows: Rows, codes: Codes, depth: int) -> Tensor:
        """What the first `depth` codes [M, L] of some items say about their features [M, D]."""
        chosen = torch.from_numpy(codes[:, :depth].astype(np.int64))
        upper = min(depth, len(self.centres))
        total = torch.zeros(len(rows), self.vectors.shape[1])
        if upper:
            node = torch.from_numpy(numbers(codes[:, : upper - 1], self.sizes[0]))
            total = self.centres[upper - 1][node, chosen[:, upper - 1]]
        for level in range(upper, depth):
            total = total + self.codebooks[level - len(self.centres)][chosen[:, level]]
        return total

    def error_by_depth(self, codes: Codes) -> tuple[float, ...]:
        """Share of the features' variance left after 0, 1, .. L levels."""
        mean = self.vectors.mean(0)
        left = np.zeros(1 + len(self.sizes))
        for start in range(0, len(codes), BLOCK):
            rows = np.arange(start, min(start + BLOCK, len(codes)))
            x = self.vectors[start : start + BLOCK]
            left[0] += float((x - mean).square().sum())
            for depth in range(1, len(left)):
                left[depth] += float((x - self.restored(rows, codes[rows], depth)).square().sum())
        return (1.0, *(left[1:] / max(left[0], 1e-12)).tolist())
