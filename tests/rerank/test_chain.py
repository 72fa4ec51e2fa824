"""The chain, and what all re-rankers share: cutting, padding, repeated items, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from genrec.errors import ConfigError
from genrec.rerank.base import Chain, Context, Reranked, Reranker, best_first, gather
from genrec.rerank.catalogue import Catalogue
from genrec.rerank.filters import AgeFilter, GenreQuota, SeenFilter
from genrec.rerank.mmr import Mmr
from genrec.rerank.quality import Quality
from genrec.rerank.scales import by_range, by_rank

Lists = tuple[NDArray[np.int32], NDArray[np.float32]]
ALL: list[Reranker] = [
    Mmr(),
    Quality(),
    SeenFilter(),
    AgeFilter(min_year=1900),
    GenreQuota(at_most={"Drama": 6}),
    Chain([SeenFilter(), Quality(), Mmr()]),
]
IDS = [type(one).__name__ for one in ALL]
NOTHING_SEEN = (np.empty(0, np.int64), np.empty(0, np.int32))


@given(
    scores=hnp.arrays(np.float32, (3, 7), elements=st.sampled_from([0.0, 1.0, 2.0, -np.inf])),
    items=hnp.arrays(np.int32, (3, 7), elements=st.integers(-1, 4)),
    k=st.integers(1, 9),
)
def test_best_first_is_a_sort(scores: NDArray[np.float32], items: NDArray[np.int32], k: int) -> None:
    usable = (items >= 0) & (scores > -np.inf)
    found = best_first(items, scores, usable, k, {"x/score": scores})
    for row in range(3):
        order = sorted((c for c in range(7) if usable[row, c]), key=lambda c: (-scores[row, c], c))
        distinct = [c for place, c in enumerate(order) if items[row, c] not in items[row, order[:place]]][:k]
        missing = k - len(distinct)
        assert found.places[row].tolist() == distinct + [-1] * missing
        assert found.items[row].tolist() == items[row, distinct].tolist() + [-1] * missing
        assert found.scores[row].tolist() == scores[row, distinct].tolist() + [-np.inf] * missing
        assert np.isnan(found.trace["x/score"][row, len(distinct) :]).all()


@pytest.mark.parametrize("reranker", ALL, ids=IDS)
@pytest.mark.parametrize("width", [0, 1, 6])
def test_lists_keep_the_contract(reranker: Reranker, width: int, films: Catalogue, everything: Lists) -> None:
    items, scores = (np.repeat(one[:, :width], 2, axis=0) for one in everything)
    items[1] = -1  # a user without candidates
    found = reranker.rerank(items, scores, 8, Context(films, NOTHING_SEEN))
    assert found.items.shape == found.scores.shape == found.places.shape == (2, 8)
    assert sorted(found.items[0, :width]) == list(range(width))
    assert (found.items[0, width:] == -1).all()
    assert (found.items[1] == -1).all()
    assert (found.scores[found.items < 0] == -np.inf).all()
    assert (found.scores[:, 1:] <= found.scores[:, :-1]).all()
    assert all(values.shape == (2, 8) for values in found.trace.values())
    assert found.items.dtype == np.int32
    assert found.scores.dtype == np.float32


@pytest.mark.parametrize("reranker", ALL, ids=IDS)
def test_no_users_is_no_lists(reranker: Reranker, films: Catalogue, everything: Lists) -> None:
    found = reranker.rerank(everything[0][:0], everything[1][:0], 4, Context(films, NOTHING_SEEN))
    assert found.items.shape == (0, 4)


@pytest.mark.parametrize("reranker", ALL, ids=IDS)
def test_a_repeated_item_counts_once_by_its_better_score(reranker: Reranker, films: Catalogue) -> None:
    items, scores = np.array([[2, 2, 0]], np.int32), np.array([[0.1, 0.9, 0.5]], np.float32)
    found = reranker.rerank(items, scores, 3, Context(films, NOTHING_SEEN))
    assert sorted(found.items[0]) == [-1, 0, 2]
    assert sorted(found.places[0]) == [-1, 1, 2]


@pytest.mark.parametrize("reranker", ALL, ids=IDS)
def test_bad_input_is_refused(reranker: Reranker, films: Catalogue, everything: Lists) -> None:
    items, scores = everything
    context = Context(films, NOTHING_SEEN)
    with pytest.raises(ConfigError, match="k, the length of the list, must be at least 1"):
        reranker.rerank(items, scores, 0, context)
    with pytest.raises(ValueError, match="must be numbers"):
        reranker.rerank(items, np.full_like(scores, np.nan), 3, context)
    with pytest.raises(ValueError, match="must be numbers"):
        reranker.rerank(items, np.full_like(scores, np.inf), 3, context)


def test_items_outside_the_catalogue_are_a_bug(films: Catalogue) -> None:
    with pytest.raises(ValueError, match="item 6 of a catalogue of 6"):
        Mmr().rerank(np.array([[6]], np.int32), np.ones((1, 1), np.float32), 1, Context(films))


def test_a_chain_is_its_stages_in_order(films: Catalogue, everything: Lists) -> None:
    items, scores = everything
    context = Context(films, (np.array([0]), np.array([0])))
    seen = SeenFilter().rerank(items, scores, 6, context)
    rated = Quality(0.9).rerank(seen.items, seen.scores, 6, context)
    last = Mmr(0.3).rerank(rated.items, rated.scores, 3, context)
    chained = Chain([SeenFilter(), Quality(0.9), Mmr(0.3)]).rerank(items, scores, 3, context)
    np.testing.assert_array_equal(chained.items, last.items)
    np.testing.assert_array_equal(chained.scores, last.scores)
    np.testing.assert_array_equal(items[0, chained.places[0]], chained.items[0])
    assert 0 not in chained.items
    quality = Quality().figures(films)[0]
    np.testing.assert_array_equal(chained.trace["quality/popularity"][0], quality[chained.items[0]])
    assert set(chained.trace) == set(rated.trace) | set(last.trace)


def test_only_the_last_stage_cuts(films: Catalogue, everything: Lists) -> None:
    class Backwards:
        """The worst first."""

        def rerank(
            self, items: NDArray[np.int32], scores: NDArray[np.float32], k: int, context: Context
        ) -> Reranked:
            return best_first(items, -scores, items >= 0, k)

    twice = Backwards()
    found = Chain([twice, twice]).rerank(*everything, 2, Context(films))
    assert found.items.tolist() == [[0, 1]]


def test_an_empty_chain_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Chain\.stages is empty"):
        Chain([])


def test_gather_fills_by_kind() -> None:
    places = np.array([[1, -1]])
    assert gather(np.array([[5, 6]]), places).tolist() == [[6, -1]]
    assert gather(np.array([[True, True]]), places).tolist() == [[True, False]]
    assert gather(np.array([[0.5, 0.25]]), places).tolist()[0][0] == 0.25
    assert np.isnan(gather(np.array([[0.5, 0.25]]), places)[0, 1])


def test_scales() -> None:
    scores = np.array([[3, 1, 2, 1, 9], [4, 4, 4, 4, 4], [7, 0, 0, 0, 0]], np.float32)
    usable = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]], bool)
    assert by_range(scores, usable).tolist() == [[1, 0, 0.5, 0, 0], [1] * 5, [1, 0, 0, 0, 0]]
    assert by_rank(scores, usable).tolist() == [[1, 0.5, 0.75, 0.5, 0], [1] * 5, [1, 0, 0, 0, 0]]
