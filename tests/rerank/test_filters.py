from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_films import GENRES

from genrec.errors import ConfigError
from genrec.rerank.base import Context
from genrec.rerank.catalogue import Catalogue
from genrec.rerank.filters import DAY, AgeFilter, GenreQuota, SeenFilter

Lists = tuple[NDArray[np.int32], NDArray[np.float32]]


def test_what_was_seen_is_left_out(films: Catalogue, everything: Lists) -> None:
    items, scores = (np.repeat(one, 3, axis=0) for one in everything)
    seen = (np.array([0, 0, 2, 2, 2, 2, 2, 2]), np.array([1, 4, 0, 1, 2, 3, 4, 5]))
    found = SeenFilter().rerank(items, scores, 6, Context(films, seen))
    assert found.items.tolist() == [[0, 2, 3, 5, -1, -1], [0, 1, 2, 3, 4, 5], [-1] * 6]
    with pytest.raises(ConfigError, match="SeenFilter needs the histories"):
        SeenFilter().rerank(items, scores, 6, Context(films))


def shown(rule: AgeFilter, films: Catalogue, lists: Lists, now: int | None = None) -> list[int]:
    found = rule.rerank(*lists, 6, Context(films, now=now)).items[0]
    return [int(item) for item in found if item >= 0]


def test_years(films: Catalogue, everything: Lists) -> None:
    assert shown(AgeFilter(min_year=1970), films, everything) == [2, 3, 4, 5]
    assert shown(AgeFilter(min_year=1960, max_year=1970), films, everything) == [1, 2, 5]
    assert shown(AgeFilter(max_year=1970, keep_unknown=False), films, everything) == [0, 1, 2]


def test_days_since_the_first_event(films: Catalogue, everything: Lists) -> None:
    now = 70 * DAY  # first events are on days 10, 5, 50, 60, unknown, none
    assert shown(AgeFilter(max_days=20), films, everything, now) == [2, 3, 4, 5]
    assert shown(AgeFilter(min_days=21, keep_unknown=False), films, everything, now) == [0, 1]
    assert shown(AgeFilter(max_days=60, min_year=1975), films, everything, now) == [3, 4, 5]
    assert shown(AgeFilter(min_days=0, keep_unknown=False), films, everything, 20 * DAY) == [0, 1]


def test_age_asks_for_what_it_needs(films: Catalogue, everything: Lists) -> None:
    with pytest.raises(ConfigError, match="limits days"):
        shown(AgeFilter(max_days=1), films, everything)
    with pytest.raises(ConfigError, match="limits years"):
        shown(AgeFilter(max_year=1), Catalogue(6), everything)


@pytest.mark.parametrize("bad", [{}, {"min_year": 2000, "max_year": 1990}, {"max_days": float("nan")}])
def test_age_arguments_are_checked(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"AgeFilter"):
        AgeFilter(**bad)  # type: ignore[arg-type]


NAMES = ("Comedy", "Drama", "War")


def quota_by_loops(
    order: list[int], at_most: dict[str, int], at_least: dict[str, int], first: int, k: int
) -> list[int]:
    """The rule in words: the best allowed one; the best owed one where no place can be spared."""
    chosen: list[int] = []
    first = min(first, k, len(order))

    def count(name: str) -> int:
        return sum(name in GENRES[item] for item in chosen)

    for place in range(first):
        allowed = [
            item
            for item in order
            if item not in chosen
            and all(count(name) < at_most.get(name, len(order)) for name in GENRES[item])
        ]
        missing = {
            name: min(max(owed - count(name), 0), sum(name in GENRES[item] for item in allowed))
            for name, owed in at_least.items()
        }
        if 0 < sum(missing.values()) >= first - place:
            allowed = [item for item in allowed if any(missing.get(name) for name in GENRES[item])]
        if not allowed:
            return chosen
        chosen.append(allowed[0])
    return (chosen + [item for item in order if item not in chosen])[:k]


@given(
    order=st.permutations(range(6)),
    size=st.integers(0, 6),
    at_most=st.dictionaries(st.sampled_from(NAMES), st.integers(1, 3), max_size=2),
    at_least=st.dictionaries(st.sampled_from(NAMES), st.integers(1, 3), max_size=2),
    first=st.integers(3, 7),
    k=st.integers(1, 8),
)
def test_quota_equals_the_rule(
    order: list[int], size: int, at_most: dict[str, int], at_least: dict[str, int], first: int, k: int
) -> None:
    at_least = {name: owed for name, owed in at_least.items() if owed <= at_most.get(name, owed)}
    if not at_most and not at_least:
        return
    films = quota_films()
    items = np.array([order[:size], order[:size][::-1]], np.int32).reshape(2, size)
    scores = np.tile(np.arange(size, 0, -1, dtype=np.float32), (2, 1))
    found = GenreQuota(at_most, at_least, first).rerank(items, scores, k, Context(films))
    for row, candidates in zip(found.items.tolist(), items.tolist(), strict=True):
        expected = quota_by_loops(candidates, at_most, at_least, first, k)
        assert row == expected + [-1] * (k - len(expected))
    assert (found.scores[:, 1:] <= found.scores[:, :-1]).all()


def quota_films() -> Catalogue:
    pairs = [(item, name) for item, names in GENRES.items() for name in names]
    return Catalogue.of(
        6, np.empty(0, np.int64), genres=(np.array([i for i, _ in pairs]), [name for _, name in pairs])
    )


def test_what_is_owed_comes_as_late_as_it_can(films: Catalogue, everything: Lists) -> None:
    found = GenreQuota(at_least={"Horror": 1}, first=3).rerank(*everything, 6, Context(films))
    assert found.items.tolist() == [[0, 1, 4, 2, 3, 5]]
    assert found.trace["quota/owed"].tolist() == [[False, False, True, False, False, False]]
    np.testing.assert_allclose(found.trace["quota/score"][0], [1, 0.8, 0.2, 0.6, 0.4, 0], atol=1e-6)
    np.testing.assert_allclose(found.scores[0], [1, 0.8, 0.6, 0.6, 0.4, 0], atol=1e-6)


def test_a_limit_is_kept_even_if_the_list_ends(films: Catalogue) -> None:
    items, scores = np.array([[0, 1, 3]], np.int32), np.array([[3, 2, 1]], np.float32)
    found = GenreQuota(at_most={"Drama": 1}, first=3).rerank(items, scores, 3, Context(films))
    assert found.items.tolist() == [[0, -1, -1]]
    free = GenreQuota(at_most={"Drama": 1}, first=1).rerank(items, scores, 3, Context(films))
    assert free.items.tolist() == [[0, 1, 3]]


def test_quota_needs_genres(films: Catalogue, everything: Lists) -> None:
    with pytest.raises(ConfigError, match="names Dramas, but the genres are Comedy, Drama, Horror, War"):
        GenreQuota(at_most={"Dramas": 1}).rerank(*everything, 3, Context(films))
    with pytest.raises(ConfigError, match="needs the genres"):
        GenreQuota(at_most={"Drama": 1}).rerank(*everything, 3, Context(Catalogue(6)))


@pytest.mark.parametrize(
    ("at_most", "at_least", "first", "name"),
    [
        ({}, {}, 10, "has no quota"),
        ({"Drama": -1}, {}, 10, "at_most"),
        ({}, {"Drama": 0}, 10, "at_least"),
        ({}, {"Drama": 11}, 10, "at_least"),
        ({"Drama": 1}, {"Drama": 2}, 10, "at_least asks for 2"),
        ({"Drama": 1}, {}, 0, "first"),
    ],
)
def test_quota_arguments_are_checked(
    at_most: dict[str, int], at_least: dict[str, int], first: int, name: str
) -> None:
    with pytest.raises(ConfigError, match=name):
        GenreQuota(at_most, at_least, first)


def test_many_users_at_once_are_like_one_at_a_time(films: Catalogue) -> None:
    orders = np.array(list(itertools.permutations(range(6)))[::37], np.int32)
    scores = np.tile(np.linspace(1, 0, 6, dtype=np.float32), (len(orders), 1))
    quota = GenreQuota({"Drama": 2}, {"Comedy": 1}, first=4)
    whole = quota.rerank(orders, scores, 5, Context(films))
    for row in range(len(orders)):
        one = quota.rerank(orders[row : row + 1], scores[:1], 5, Context(films))
        assert one.items[0].tolist() == whole.items[row].tolist()
