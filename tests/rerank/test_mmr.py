"""MMR against the definition, item by item; every figure of the property tests is exact in float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from genrec.errors import ConfigError
from genrec.rerank import mmr
from genrec.rerank.base import Context
from genrec.rerank.catalogue import Catalogue
from genrec.rerank.mmr import Mmr

UNIT = [(1, 0, 0, 0), (-1, 0, 0, 0), (0, 1, 0, 0), (0.5, 0.5, 0.5, 0.5), (0.5, -0.5, 0.5, -0.5), (0, 0, 0, 0)]


@dataclass(frozen=True)
class Case:
    """What MMR is given."""

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    vectors: NDArray[np.float32]
    k: int
    weight: float

    def rerank(self) -> mmr.Reranked:
        catalogue = Catalogue(len(self.vectors), vectors=self.vectors)
        return Mmr(self.weight).rerank(self.items, self.scores, self.k, Context(catalogue))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Many ties, repeated items, -1 and -inf anywhere, lists longer than the candidates."""
    users, width, n_items = draw(st.integers(1, 4)), draw(st.integers(0, 8)), draw(st.integers(1, 9))

    def block(values: st.SearchStrategy[float]) -> list[list[float]]:
        return draw(
            st.lists(st.lists(values, min_size=width, max_size=width), min_size=users, max_size=users)
        )

    return Case(
        items=np.array(block(st.integers(-1, n_items - 1)), dtype=np.int32).reshape(users, width),
        scores=np.array(block(st.sampled_from([0, 1, 2, -np.inf])), dtype=np.float32).reshape(users, width),
        vectors=np.array(
            draw(st.lists(st.sampled_from(UNIT), min_size=n_items, max_size=n_items)), np.float32
        ),
        k=draw(st.integers(1, 10)),
        weight=draw(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])),
    )


def by_loops(case: Case) -> tuple[list[list[int]], list[list[float]]]:
    """Carbonell & Goldstein's formula: for each place, for each candidate, the largest similarity to the chosen."""
    lists, values = [], []
    for items, scores in zip(case.items.tolist(), case.scores.tolist(), strict=True):
        usable = [c for c in range(len(items)) if items[c] >= 0 and scores[c] > -np.inf]
        known = [scores[c] for c in usable]
        spread = max(known, default=0) - min(known, default=0)
        relevance = {c: (scores[c] - min(known)) / spread if spread else 1.0 for c in usable}
        chosen: list[int] = []
        value_of: list[float] = []
        while len(chosen) < case.k:
            best, best_value = -1, -np.inf
            for c in usable:
                if items[c] in [items[other] for other in chosen]:
                    continue
                nearest = max(
                    (case.vectors[items[c]] @ case.vectors[items[other]] for other in chosen), default=-1
                )
                value = case.weight * relevance[c] - (1 - case.weight) * nearest
                if value > best_value:
                    best, best_value = c, float(value)
            if best < 0:
                break
            chosen.append(best)
            value_of.append(best_value)
        lists.append([items[c] for c in chosen] + [-1] * (case.k - len(chosen)))
        values.append(value_of + [-np.inf] * (case.k - len(chosen)))
    return lists, values


@given(cases())
def test_equals_the_double_loop_ties_included(case: Case) -> None:
    found = case.rerank()
    lists, values = by_loops(case)
    assert found.items.tolist() == lists
    assert found.scores.tolist() == values
    assert found.items.dtype == np.int32
    assert found.scores.dtype == np.float32


@given(cases())
def test_the_trace_adds_up(case: Case) -> None:
    found = case.rerank()
    for row, items in enumerate(found.items.tolist()):
        for place, item in enumerate(items):
            relevance, similarity, neighbour = (
                found.trace[f"mmr/{name}"][row, place] for name in ("relevance", "similarity", "neighbour")
            )
            column = found.places[row, place]
            if item < 0:
                assert column == neighbour == -1
                assert np.isnan(relevance)
                continue
            assert case.items[row, column] == item
            if place == 0:
                assert np.isnan(similarity)
                assert neighbour == -1
                continue
            assert found.scores[row, place] == case.weight * relevance - (1 - case.weight) * similarity
            cosines = [float(case.vectors[item] @ case.vectors[other]) for other in items[:place]]
            assert similarity == max(cosines)
            known = case.vectors[item].any()
            assert neighbour == (items[cosines.index(max(cosines))] if known else -1)


@given(cases())
def test_scores_never_rise_and_items_are_distinct(case: Case) -> None:
    found = case.rerank()
    assert (found.scores[:, 1:] <= found.scores[:, :-1]).all()
    for row in found.items.tolist():
        shown = [item for item in row if item >= 0]
        assert len(set(shown)) == len(shown)


@pytest.fixture
def world() -> Case:
    """Twelve users with 30 candidates of 50 items, real-valued."""
    rng = np.random.default_rng(0)
    items = np.argsort(rng.random((12, 50)), axis=1)[:, :30].astype(np.int32)
    scores = -np.sort(-rng.normal(size=(12, 30)).astype(np.float32), axis=1)
    return Case(items, scores, rng.normal(size=(50, 7)).astype(np.float32), 10, 0.6)


def test_blocks_of_users_change_nothing(world: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = world.rerank()
    monkeypatch.setattr(mmr, "_CELLS", 1)
    one_by_one = world.rerank()
    np.testing.assert_array_equal(whole.items, one_by_one.items)
    np.testing.assert_array_equal(whole.scores, one_by_one.scores)
    np.testing.assert_array_equal(whole.trace["mmr/neighbour"], one_by_one.trace["mmr/neighbour"])


def test_real_vectors_are_compared_by_direction(world: Case) -> None:
    unit = world.vectors / np.linalg.norm(world.vectors, axis=1, keepdims=True)
    lists, _ = by_loops(Case(world.items, world.scores, unit, world.k, world.weight))
    assert world.rerank().items.tolist() == lists


def test_the_ends_of_lambda(world: Case) -> None:
    only_relevance = Case(world.items, world.scores, world.vectors, 10, 1.0).rerank()
    np.testing.assert_array_equal(only_relevance.items, world.items[:, :10])
    doubled = world.vectors.copy()
    doubled[world.items[0, 1]] = doubled[world.items[0, 0]]  # the second best is like the best
    diverse = Case(world.items, world.scores, doubled, 29, 0.0).rerank()
    assert diverse.items[0, 0] == world.items[0, 0]
    assert world.items[0, 1] not in diverse.items[0]


def test_rank_scale_ignores_the_lead_of_the_best(world: Case) -> None:
    led = world.scores.copy()
    led[:, 0] += 1000
    context = Context(Catalogue(50, vectors=world.vectors))
    by_rank = [Mmr(0.6, "rank").rerank(world.items, scores, 10, context) for scores in (world.scores, led)]
    np.testing.assert_array_equal(by_rank[0].items, by_rank[1].items)
    by_range = Mmr(0.6, "range").rerank(world.items, led, 10, context)
    assert (by_range.items != by_rank[1].items).any()


def test_absent_vectors_are_not_read(world: Case) -> None:
    present = np.ones(50, dtype=bool)
    present[world.items[0, :5]] = False
    zeroed = world.vectors * present[:, None]
    told = Mmr(0.6).rerank(
        world.items, world.scores, 10, Context(Catalogue(50, vectors=world.vectors, present=present))
    )
    np.testing.assert_array_equal(told.items, Case(world.items, world.scores, zeroed, 10, 0.6).rerank().items)


def test_the_request_overrides_lambda(world: Case) -> None:
    catalogue = Catalogue(50, vectors=world.vectors)
    asked = Mmr(0.1).rerank(world.items, world.scores, 10, Context(catalogue, lambda_mmr=0.6))
    np.testing.assert_array_equal(asked.items, world.rerank().items)
    with pytest.raises(ConfigError, match="lambda_mmr must lie between"):
        Mmr().rerank(world.items, world.scores, 10, Context(catalogue, lambda_mmr=1.5))


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan"), True])
def test_lambda_is_checked(weight: float) -> None:
    with pytest.raises(ConfigError, match=r"Mmr\.lambda_mmr"):
        Mmr(weight)


def test_scale_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"Mmr\.scale must be one of 'range', 'rank'"):
        Mmr(scale="softmax")


def test_vectors_are_asked_for(world: Case) -> None:
    with pytest.raises(ConfigError, match="needs item vectors"):
        Mmr().rerank(world.items, world.scores, 10, Context(Catalogue(50)))
