"""DeepWalk: walks keep to edges, leave none out, and end where nothing follows."""

from __future__ import annotations

import numpy as np
import pytest
from battery import RecallerBattery, interactions
from scipy.stats import chisquare

from genrec.data.tables import Interactions
from genrec.errors import ConfigError
from genrec.recall import deepwalk
from genrec.recall.deepwalk import DeepWalk, Graph, random_walks
from genrec.recall.item_vectors import UserBased
from genrec.recall.skip_gram import SkipGram

QUICK = SkipGram(width=8, epochs=3, learning_rate=0.05)


class TestDeepWalkByItems(RecallerBattery):
    def make(self, batch_size: int = 256) -> DeepWalk:
        return DeepWalk(walks_per_item=20, walk_items=10, skip_gram=QUICK, batch_size=batch_size)


class TestDeepWalkByUsers(RecallerBattery):
    def make(self, batch_size: int = 256) -> DeepWalk:
        return DeepWalk(
            walks_per_item=20,
            walk_items=10,
            skip_gram=QUICK,
            neighbourhood=UserBased(neighbours=8),
            batch_size=batch_size,
        )


def some_train() -> Interactions:
    """Five users and eight items; user 3 and item 6 have no event, and one event is repeated."""
    pairs = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 1), (1, 1), (1, 4), (2, 5), (2, 0), (4, 7)]
    return interactions(pairs, 5, 8)


def edges(graph: Graph) -> set[tuple[int, int]]:
    source = np.repeat(np.arange(len(graph.degrees)), graph.degrees)
    return set(zip(source.tolist(), graph.neighbours.tolist(), strict=True))


def test_the_graph_joins_users_and_items_both_ways_once() -> None:
    train = some_train()
    graph = Graph.bipartite(train)
    pairs = {(u, 5 + i) for u, i in zip(train.users.tolist(), train.items.tolist(), strict=True)}
    assert edges(graph) == pairs | {(i, u) for u, i in pairs}
    assert len(graph.neighbours) == 2 * len(pairs)
    assert len(graph.degrees) == 5 + 8


def test_every_step_is_an_edge() -> None:
    graph = Graph.bipartite(some_train())
    starts = np.flatnonzero(graph.degrees).repeat(50)
    walks = random_walks(graph, starts, 9, np.random.default_rng(0))
    assert walks.dtype == np.int32
    assert walks.shape == (len(starts), 9)
    np.testing.assert_array_equal(walks[:, 0], starts)
    taken = set(zip(walks[:, :-1].ravel().tolist(), walks[:, 1:].ravel().tolist(), strict=True))
    assert taken == edges(graph)  # none but edges, and none of them left out


def test_all_neighbours_are_equally_likely() -> None:
    """At the first step and later on, for nodes of all degrees; the chance of a false alarm is one in a thousand."""
    degrees = np.array([1, 2, 3, 7, 12])
    n = int(degrees.sum())
    graph = Graph(
        np.concatenate([[0], np.cumsum(degrees)]), np.random.default_rng(1).integers(0, 5, n).astype(np.int32)
    )
    walks = random_walks(graph, np.arange(5).repeat(6000), 4, np.random.default_rng(0))
    for step in range(3):
        for node in range(5):
            after = walks[walks[:, step] == node, step + 1]
            chance = np.bincount(graph.neighbours[graph.offsets[node] : graph.offsets[node + 1]], minlength=5)
            observed = np.bincount(after, minlength=5)
            assert (observed[chance == 0] == 0).all()
            if (chance > 0).sum() == 1:
                continue  # nothing to choose
            expected = chance[chance > 0] / chance.sum() * len(after)
            assert chisquare(observed[chance > 0], expected).pvalue > 0.001 / 15


def test_walks_end_at_dead_ends() -> None:
    graph = Graph(np.array([0, 1, 2, 2, 2]), np.array([1, 2], np.int32))  # 0 -> 1 -> 2, and 3 alone
    walks = random_walks(graph, np.array([0, 1, 2, 3]), 5, np.random.default_rng(0))
    np.testing.assert_array_equal(
        walks, [[0, 1, 2, -1, -1], [1, 2, -1, -1, -1], [2, -1, -1, -1, -1], [3, -1, -1, -1, -1]]
    )
    empty = Graph(np.zeros(3, np.int64), np.empty(0, np.int32))
    np.testing.assert_array_equal(random_walks(empty, np.array([1]), 2, np.random.default_rng(0)), [[1, -1]])


def test_walks_depend_on_the_generator_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph.bipartite(some_train())
    starts = np.flatnonzero(graph.degrees).repeat(9)
    first, again, other = (random_walks(graph, starts, 6, np.random.default_rng(s)) for s in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    monkeypatch.setattr(deepwalk, "_BLOCK", 10)  # more walkers than step together
    blocks = random_walks(graph, starts, 6, np.random.default_rng(3))
    np.testing.assert_array_equal(blocks[:, 0], starts)
    taken = set(zip(blocks[:, :-1].ravel().tolist(), blocks[:, 1:].ravel().tolist(), strict=True))
    assert taken == edges(graph)


def test_no_walkers_and_no_steps() -> None:
    graph = Graph.bipartite(some_train())
    assert random_walks(graph, np.empty(0, np.int64), 4, np.random.default_rng(0)).shape == (0, 4)
    np.testing.assert_array_equal(
        random_walks(graph, np.array([6, 0]), 1, np.random.default_rng(0)), [[6], [0]]
    )
    with pytest.raises(ConfigError, match=r"random_walks\.length"):
        random_walks(graph, np.array([0]), 0, np.random.default_rng(0))
