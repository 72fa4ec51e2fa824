"""What towers know: statistics of training that never hold the event that is to be foretold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from battery import catalogue, interactions

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.recall.side_inputs import ITEM_INPUTS, USER_INPUTS, Facts, genre_table, inputs
from genrec.recall.tower_inputs import Count, Dense, Event, Ids, MeanRating, Prefixes, TopGenres, TowerInput

N_USERS, N_ITEMS = 7, 12


def events(n: int = 26, seed: int = 0) -> Interactions:
    """Random events with ratings, one in five unknown; the last user and the last item have none."""
    rng = np.random.default_rng(seed)
    users, items = rng.integers(0, N_USERS - 1, n).tolist(), rng.integers(0, N_ITEMS - 1, n).tolist()
    train = interactions(list(zip(users, items, strict=True)), N_USERS, N_ITEMS)
    ratings = rng.integers(1, 6, n).astype(np.float32)
    ratings[rng.random(n) < 0.2] = np.nan
    return replace(train, ratings=ratings)


def films() -> ItemTable:
    items = catalogue(N_ITEMS)
    rng = np.random.default_rng(1)
    names = np.array(["Action", "Comedy", "Drama", "Horror", "War"])
    items.frame["genres"] = [names[rng.random(5) < 0.4].tolist() for _ in range(N_ITEMS)]
    return items


def without(train: Interactions, row: int) -> Interactions:
    return train.take(np.delete(np.arange(len(train)), row))


def same_weights(one: TowerInput, other: TowerInput) -> TowerInput:
    """The other with the embeddings of the first, which may have more rows."""
    for own, given in zip(other.parameters(), one.parameters(), strict=True):
        own.data = given.data
    return other


def middle(one: TowerInput, other: TowerInput) -> None:
    """Deviations are from the mean over all events, which one event fewer would move for everyone alike."""
    if isinstance(one, MeanRating) and isinstance(other, MeanRating):
        other.sums += (other.middle - one.middle) * other.rated
        other.middle = one.middle


@pytest.mark.parametrize("name", sorted(USER_INPUTS))
def test_a_users_statistics_are_those_without_the_event(name: str) -> None:
    check_left_out(name, by_user=True)


@pytest.mark.parametrize("name", ["rating", "popularity"])
def test_an_items_statistics_are_those_without_the_event(name: str) -> None:
    check_left_out(name, by_user=False)


def check_left_out(name: str, by_user: bool) -> None:
    """Input by input: the statistic of all events less one equals that of the other events, for every event."""
    train, makers = events(), USER_INPUTS if by_user else ITEM_INPUTS
    (known,) = inputs([name], makers, Facts(train, films()), 4)
    assert train.ratings is not None
    rows = torch.from_numpy(train.users if by_user else train.items).long()
    event = Event(torch.from_numpy(train.items).long(), torch.from_numpy(train.ratings))
    found = known(rows, event)
    plain = known(rows, None)
    for row in range(len(train)):
        (other,) = inputs([name], makers, Facts(without(train, row), films()), 4)
        middle(known, other)
        expected = same_weights(known, other)(rows[row : row + 1], None)
        np.testing.assert_allclose(found[row : row + 1].detach(), expected.detach(), atol=1e-5)
    assert not torch.allclose(found, plain)


def test_the_only_rating_leaves_no_trace_of_itself() -> None:
    """Rounding would leave a different crumb of each rating, from which a network could read it."""
    ratings = np.array([1.1, 4.7, 3.3, 2.9], dtype=np.float32)
    known = MeanRating(np.arange(4, dtype=np.int32), ratings, 4)
    found = known(torch.arange(4), Event(torch.arange(4), torch.from_numpy(ratings)))
    assert torch.equal(found, torch.zeros(4, 2))


def test_mean_ratings_are_shrunk_towards_that_of_all() -> None:
    users = np.array([0, 0, 0, 1], dtype=np.int32)
    known = MeanRating(users, np.array([5, 5, np.nan, 2], dtype=np.float32), 3)
    rated = known(torch.arange(3), None)
    np.testing.assert_allclose(rated[:, 0], [2 / 7, -2 / 6, 0], atol=1e-6)
    np.testing.assert_allclose(rated[:, 1], [1, 1, 0])


def test_top_genres_are_the_three_most_frequent() -> None:
    genres = np.eye(5, dtype=bool)
    train = interactions([(0, 0), (0, 0), (0, 1), (0, 3), (0, 3), (0, 4), (0, 4), (0, 4)], 2, 5)
    known = TopGenres(train, genres, 5)
    known.table.weight.data = torch.eye(5)
    np.testing.assert_allclose(
        known(torch.tensor([0, 1]), None).detach(), [[1 / 3, 0, 0, 1 / 3, 1 / 3], [0] * 5]
    )
    left = known(torch.tensor([0]), Event(torch.tensor([0])))  # genre 0 then ties with 1, which comes later
    np.testing.assert_allclose(left.detach(), [[1 / 3, 0, 0, 1 / 3, 1 / 3]])


def test_counts_fall_into_buckets_that_grow() -> None:
    counts = torch.tensor([0, 1, 2, 3, 10, 11, 1000, 1010])
    buckets = Count.bucket(counts)
    assert len(set(buckets[:4].tolist())) >= 3
    assert buckets[0] == 0
    assert buckets[6] == buckets[7]
    assert (buckets.diff() >= 0).all()
    assert Count(np.array([0, 5]), 3)(torch.tensor([0, 1]), None).shape == (2, 3)


def test_items_without_events_share_the_row_that_dropped_ids_learn_from() -> None:
    ids = Ids(np.array([3, 0, 2, 0]), 4, dropout=0.5)
    ids.eval()
    vectors = ids(torch.arange(4), None)
    assert torch.equal(vectors[1], ids.table.weight[0])
    assert torch.equal(vectors[1], vectors[3])
    assert not torch.equal(vectors[0], vectors[2])
    ids.train()
    drawn = ids(torch.zeros(1000, dtype=torch.int64), None)
    unknown = (drawn == ids.table.weight[0]).all(1).float().mean()
    assert 0.4 < unknown < 0.6
    assert Ids(np.array([3, 0]), 4, dropout=0.0)(torch.tensor([0]), None).ne(0).any()


def test_dense_vectors_are_standardised_where_present() -> None:
    vectors = np.array([[1.0, 5.0], [3.0, 5.0], [0.0, 0.0]], dtype=np.float32)
    known = Dense(vectors, np.array([True, True, False]))
    assert known.width == 3
    np.testing.assert_allclose(known(torch.arange(3), None), [[-1, 0, 1], [1, 0, 1], [0, 0, 0]], atol=1e-6)
    assert Dense(vectors, np.array([True, True, False]), 7)(torch.arange(3), None).shape == (3, 7)


def test_items_share_the_embedding_of_the_prefix_they_share() -> None:
    known = Prefixes(np.array([[0, 1], [0, 2], [1, 1]]), 4)
    a, b, c = known(torch.arange(3), None)
    first, second = known.table.weight[known.prefixes[0, 0]], known.table.weight[known.prefixes[0, 1]]
    np.testing.assert_allclose(a.detach(), (first + second).detach())
    assert known.prefixes[0, 0] == known.prefixes[1, 0] != known.prefixes[2, 0]
    assert len(set(known.prefixes[:, 1].tolist())) == 3  # code 1 means another thing below another code
    assert not torch.equal(b, c)


def test_what_the_data_does_not_tell_is_left_out() -> None:
    train, items = events(), films()
    items.frame["genres"] = [[] for _ in range(N_ITEMS)]
    items.frame["year"] = np.nan
    silent = replace(train, ratings=np.full(len(train), np.nan, np.float32))
    for one in (silent, replace(train, ratings=None)):
        facts = Facts(one, items)
        assert [type(x).__name__ for x in inputs(list(USER_INPUTS), USER_INPUTS, facts, 4)] == ["Count"]
        names = ["genres", "year", "rating", "popularity"]
        assert [type(x).__name__ for x in inputs(names, ITEM_INPUTS, facts, 4)] == ["Count"]
    assert len(inputs(names, ITEM_INPUTS, Facts(train, films()), 4)) == 4


def test_what_is_asked_for_and_not_given_is_an_error() -> None:
    facts = Facts(events(), films())
    with pytest.raises(ConfigError, match="no item features"):
        inputs(["features"], ITEM_INPUTS, facts, 4)
    with pytest.raises(ConfigError, match=r"TwoTower\.ids_path"):
        inputs(["prefixes"], ITEM_INPUTS, facts, 4)
    empty = ItemFeatures(np.zeros((N_ITEMS, 0), np.float32), np.zeros(N_ITEMS, bool), "", "")
    with pytest.raises(ConfigError, match="no item features"):
        inputs(["features"], ITEM_INPUTS, facts._replace(features=empty), 4)


def test_genre_table() -> None:
    table = genre_table(films())
    assert table.shape == (N_ITEMS, 5)
    assert [sum(map(int, row)) for row in table] == [len(names) for names in films().frame["genres"]]
