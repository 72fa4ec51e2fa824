"""DeepWalk: random walks between users and items as sentences."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from genrec.data.histories import Histories
from genrec.data.tables import Interactions
from genrec.errors import ConfigError
from genrec.recall.item_vectors import ItemVectorRecaller, Neighbourhood, Profile
from genrec.recall.skip_gram import SkipGram
from genrec.recall.vector_index import VectorIndex

_BLOCK = 1 << 14
"""Walkers that step together: what they read and write stays in the cache."""

_HALF, _LOW = np.uint64(32), np.uint64((1 << 32) - 1)
"""Of a word of 64 bits: the width of either half, and the lower one."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Who is next to whom.

    Attributes:
        offsets: int64 [V + 1].
        neighbours: int32 [edges]; those of node v are `neighbours[offsets[v]:offsets[v + 1]]`.
    """

    offsets: NDArray[np.int64]
    neighbours: NDArray[np.int32]

    @classmethod
    def bipartite(cls, train: Interactions) -> Graph:
        """Users are the nodes 0 .. n_users - 1, items follow; an edge each way for each pair that met."""
        matrix = train.matrix()
        items_of, users_of = matrix, matrix.T.tocsr()
        return cls(
            np.concatenate([items_of.indptr, items_of.nnz + users_of.indptr[1:]]).astype(np.int64),
            np.concatenate([train.n_users + items_of.indices, users_of.indices]).astype(np.int32),
        )

    @property
    def degrees(self) -> NDArray[np.int64]:
        """Neighbours of each node [V]."""
        return np.diff(self.offsets)


def random_walks(
    graph: Graph, starts: NDArray[np.integer], length: int, rng: np.random.Generator
) -> NDArray[np.int32]:
    """Uniform random walks: every walker goes to one of its node's neighbours, all equally likely.

    Args:
        graph: of fewer than 2^31 nodes and 2^32 edges.
        starts: [walkers], the node each begins at.
        length: nodes of a walk, the start included.
        rng: where chance comes from.

    Returns:
        int32 [walkers, length]; -1 after a node without neighbours.
    """
    if length < 1:
        raise ConfigError(f"random_walks.length must be at least 1, got {length}")
    degrees, ends = graph.degrees, len(graph.neighbours)
    nowhere = len(degrees)  # a node more, where walks end and stay
    neighbours = np.append(graph.neighbours, np.int32(nowhere))
    first = np.append(np.where(degrees > 0, graph.offsets[:-1], ends), ends).astype(np.uint64)
    nodes = first << _HALF | np.append(np.maximum(degrees, 1), 1).astype(np.uint64)  # both, read at once
    walks = np.empty((len(starts), length), np.int32)
    for start in range(0, len(starts), _BLOCK):
        block = slice(start, start + _BLOCK)
        steps = np.empty(
            (length, len(starts[block])), np.int32
        )  # a row per step, so that it is written in one piece
        steps[0] = starts[block]
        for before, after in pairwise(steps):
            node = nodes.take(before, mode="clip")  # "clip" checks no bounds, which halves the time
            edge = rng.integers(0, 1 << 32, len(node), dtype=np.uint32) * (node & _LOW)
            edge >>= _HALF  # a share of 2^32 becomes the same share of the neighbours
            node >>= _HALF
            edge += node
            neighbours.take(edge.view(np.int64), out=after, mode="clip")
        steps[steps == nowhere] = -1
        walks[block] = steps.T
    return walks


class DeepWalk(ItemVectorRecaller):
    """Items that random walks pass one after the other are alike (Perozzi et al. 2014, DeepWalk).

    Walks go from item to user to item, and only their items are sentences: users would double the vocabulary and
    halve what a window reaches. Unlike histories, walks know no time, and reach items that no user had together.

    Args:
        walks_per_item: walks that start at each item.
        walk_items: items on a walk, the first included; it is twice as long, less one.
        skip_gram: how vectors are learned from the walks; its seed is that of the walks.
        neighbourhood: `ItemBased` if not given, or `UserBased`.
        profile: how a user's vector is made of those of the items.
        index: finds items instead of the exact product; item-based recall only.
        batch_size: users scored at once.

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(
        self,
        *,
        walks_per_item: int = 20,
        walk_items: int = 20,
        skip_gram: SkipGram | None = None,
        neighbourhood: Neighbourhood | None = None,
        profile: Profile | None = None,
        index: VectorIndex | None = None,
        batch_size: int = 256,
    ) -> None:
        super().__init__(neighbourhood=neighbourhood, profile=profile, index=index, batch_size=batch_size)
        if walks_per_item < 1:
            raise ConfigError(f"DeepWalk.walks_per_item must be at least 1, got {walks_per_item}")
        if walk_items < 2:
            raise ConfigError(f"DeepWalk.walk_items must be at least 2, got {walk_items}")
        self.walks_per_item, self.walk_items = walks_per_item, walk_items
        self.skip_gram = skip_gram or SkipGram(epochs=1)

    def _embed(self, train: Interactions) -> NDArray[np.float32]:
        graph, rng = Graph.bipartite(train), np.random.default_rng(self.skip_gram.seed)
        known = train.n_users + np.flatnonzero(graph.degrees[train.n_users :] > 0)
        starts = rng.permutation(
            np.repeat(known, self.walks_per_item)
        )  # learning rates fall along the corpus
        walks = random_walks(graph, starts, 2 * self.walk_items - 1, rng)
        items = walks[:, ::2] - np.int32(train.n_users)
        offsets = np.arange(len(items) + 1) * self.walk_items
        return self.skip_gram.vectors(Histories(offsets, items.ravel(), train.n_items))
