"""Merging: the battery, each fusion against a plain reading of its rule, and who proposed what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from battery import RecallerBattery, assert_valid, catalogue, checkerboard, interactions
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from genrec.data.recommendations import Recommendations
from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.recall.ease import Ease
from genrec.recall.fusion import Calibrated, Fusion, Quota, ReciprocalRank, last_events
from genrec.recall.itemknn import ItemKnn
from genrec.recall.merged import Merged
from genrec.recall.popularity import Popularity
from genrec.recall.store import Origin, events_hash, load_recaller, save_recaller
from genrec.recall.stored import Stored
from genrec.topk import tie_ranks

N_ITEMS = 12


class Fixed:
    """Recommends what it is told to, [n_users, any length]; not a scoring recaller."""

    def __init__(self, lists: list[list[int]]) -> None:
        self.lists = lists

    def fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None = None) -> Self:
        return self

    def recommend(self, users: NDArray[np.int32], k: int, *, exclude_seen: bool = True) -> Recommendations:
        items = np.full((len(users), k), -1, np.int32)
        for row, user in enumerate(users):
            best = self.lists[user][:k]
            items[row, : len(best)] = best
        scores = np.where(items >= 0, -np.arange(k, dtype=np.float32), -np.inf).astype(np.float32)
        return Recommendations(users, items, scores)


def two(batch_size: int, how: Fusion) -> Merged:
    channels = {"ease": Ease(l2=5.0), "itemknn": ItemKnn(neighbours=10)}
    return Merged(channels, how, batch_size=batch_size)


class TestReciprocalRank(RecallerBattery):
    def make(self, batch_size: int = 256) -> Merged:
        return two(batch_size, ReciprocalRank())


class TestQuota(RecallerBattery):
    def make(self, batch_size: int = 256) -> Merged:
        return two(batch_size, Quota({"ease": 3, "itemknn": 1}))


class TestCalibrated(RecallerBattery):
    def make(self, batch_size: int = 256) -> Merged:
        return two(batch_size, Calibrated())


class TestOneChannel(RecallerBattery):
    def make(self, batch_size: int = 256) -> Merged:
        return Merged({"ease": Ease(l2=5.0)}, batch_size=batch_size)


def by_quota(lists: dict[str, list[int]], shares: dict[str, float], k: int) -> list[int]:
    found: list[int] = []
    placed = dict.fromkeys(lists, 0)
    while len(found) < k:
        offers = {
            name: [item for item in one if item not in found]
            for name, one in lists.items()
            if shares[name] > 0
        }
        hungry = [name for name, one in offers.items() if one]
        if not hungry:
            break
        name = min(hungry, key=lambda one: (placed[one] + 0.5) / shares[one])
        found.append(offers[name][0])
        placed[name] += 1
    return found


def by_sums(lists: dict[str, list[int]], gain: Callable[[str, int], float], k: int) -> list[int]:
    sums: dict[int, float] = {}
    for name, one in lists.items():
        for rank, item in enumerate(one, start=1):
            sums[item] = sums.get(item, 0.0) + gain(name, rank)
    ties = tie_ranks(N_ITEMS).tolist()
    ordered = sorted(sums, key=lambda item: (-np.float32(sums[item]), ties[item]))
    return [item for item in ordered if sums[item] > 0][:k]


ONE_LIST = st.lists(st.integers(0, N_ITEMS - 1), unique=True, max_size=8)
CHANNELS = st.lists(st.tuples(ONE_LIST, ONE_LIST, ONE_LIST), min_size=1, max_size=4)  # of each user
WEIGHTS = st.fixed_dictionaries(
    {name: st.sampled_from([0.0, 1.0, 2.5]) for name in "ab"} | {"c": st.just(1.0)}
)


def merged(users: list[tuple[list[int], ...]], how: Fusion, depth: int) -> Merged:
    recallers = {name: Fixed([one[place] for one in users]) for place, name in enumerate("abc")}
    train = interactions([(0, 0)], len(users), N_ITEMS)
    return Merged(recallers, how, depth=depth, batch_size=2).fit(train, catalogue(N_ITEMS))


@given(CHANNELS, WEIGHTS, st.integers(1, 9), st.integers(1, 20))
@settings(max_examples=60)
def test_quota_and_reciprocal_rank_are_what_they_say(
    users: list[tuple[list[int], ...]], weights: dict[str, float], depth: int, k: int
) -> None:
    everyone = np.arange(len(users), dtype=np.int32)
    quota = merged(users, Quota(weights), depth).recommend(everyone, k)
    ranked = merged(users, ReciprocalRank(3.0, weights), depth).recommend(everyone, k)
    for lists in (quota, ranked):
        assert_valid(lists, everyone, k, N_ITEMS)
    for user, one in enumerate(users):
        lists = {name: found[:depth] for name, found in zip("abc", one, strict=True)}
        assert [item for item in quota.items[user].tolist() if item >= 0] == by_quota(lists, weights, k)
        expected = by_sums(lists, lambda name, rank: weights[name] / (3.0 + rank), k)
        assert [item for item in ranked.items[user].tolist() if item >= 0] == expected


@given(CHANNELS, st.integers(1, 9), st.integers(1, 20))
@settings(max_examples=40)
def test_channels_are_the_ranks_of_what_was_recommended(
    users: list[tuple[list[int], ...]], depth: int, k: int
) -> None:
    everyone = np.arange(len(users), dtype=np.int32)
    recaller = merged(users, Quota(), depth)
    items, ranks = recaller.recommend(everyone, k).items, recaller.channels(everyone, k)
    assert recaller.names == ("a", "b", "c")
    assert ranks.shape == (len(users), k, 3)
    for user, one in enumerate(users):
        for place, item in enumerate(items[user].tolist()):
            expected = [found[:depth].index(item) + 1 if item in found[:depth] else 0 for found in one]
            assert ranks[user, place].tolist() == expected
            assert any(expected) == (item >= 0)


def test_quota_is_in_proportion_at_every_length() -> None:
    lists = [(list(range(0, 6)), list(range(6, 12)), [])]
    items = merged(lists, Quota({"a": 2, "b": 1, "c": 5}), 6).recommend(np.array([0], np.int32), 9).items[0]
    assert items.tolist() == [0, 6, 1, 2, 7, 3, 4, 8, 5]


def test_a_dry_channel_leaves_its_places_to_others() -> None:
    lists = [([3], [3, 4, 5, 6], [])]
    items = merged(lists, Quota(), 10).recommend(np.array([0], np.int32), 5).items[0]
    assert items.tolist() == [3, 4, 5, 6, -1]


def test_agreement_beats_one_channels_favourite() -> None:
    lists = [([1, 2, 3], [4, 2, 5], [])]
    found = merged(lists, ReciprocalRank(), 10).recommend(np.array([0], np.int32), 1)
    assert found.items[0, 0] == 2
    assert found.scores[0, 0] == pytest.approx(2 / 62)


def test_last_events_are_held_out_of_histories_that_can_spare_one() -> None:
    train = interactions([(0, 5), (0, 6), (1, 7), (3, 8), (3, 9), (3, 8)], 4, 10)
    before, users, targets = last_events(train)
    assert users.tolist() == [0, 3]
    assert targets.tolist() == [6, 8]
    assert list(zip(before.users.tolist(), before.items.tolist(), strict=True)) == [
        (0, 5),
        (1, 7),
        (3, 8),
        (3, 9),
    ]


def test_calibration_counts_hits_by_rank_and_trusts_who_hits() -> None:
    """User u takes u, then u + 1, of which channel `a` knows; `b` is never right."""
    n = N_ITEMS - 1
    train = interactions([(user, user + step) for user in range(n) for step in (0, 1)], n, N_ITEMS)
    right = [[user + 1] if user < n - 3 else [0, user + 1] for user in range(n)]
    wrong = [[(user + 5) % N_ITEMS, (user + 3) % N_ITEMS] for user in range(n)]
    how = Calibrated(prior=0.5, max_users=None)
    recaller = Merged({"b": Fixed(wrong), "a": Fixed(right)}, how, depth=3).fit(train, catalogue(N_ITEMS))
    found = recaller.recommend(np.arange(n, dtype=np.int32), 2)
    assert found.items[:8, 0].tolist() == [row[0] for row in right[:8]]
    assert found.scores[0, 0] == pytest.approx((n - 3 + 0.5) / (n + 0.5))
    assert found.scores[0, 1] == pytest.approx(0.5 / (n + 0.5))


def test_a_rank_is_worth_no_more_than_those_before_it() -> None:
    """All hits are at rank 2; pooling gives half of them to rank 1, and the prior keeps the order."""
    train = interactions([(user, item) for user in range(4) for item in (0, 7)], 4, N_ITEMS)
    recaller = Merged({"a": Fixed([[3, 7, 4]] * 4)}, Calibrated(), depth=3).fit(train, catalogue(N_ITEMS))
    found = recaller.recommend(np.array([0], np.int32), 3)
    assert found.items[0].tolist() == [3, 7, 4]
    np.testing.assert_allclose(found.scores[0], [3 / 5, 2.5 / 5, (1 / 3) / 5], rtol=1e-6)


def test_calibration_on_a_sample_is_repeatable() -> None:
    train, everyone = checkerboard(), np.arange(34, dtype=np.int32)
    first, again, other = (
        two(256, Calibrated(max_users=5, seed=seed)).fit(train, catalogue(20)).recommend(everyone, 5).scores
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_channels_are_fitted_to_all_of_train_in_the_end() -> None:
    popularity = Popularity()
    Merged({"popularity": popularity}, Calibrated()).fit(checkerboard(), catalogue(20))
    assert popularity.weights.sum() == len(checkerboard())


def test_merged_recallers_may_be_merged() -> None:
    inner = two(256, Quota())
    outer = Merged({"both": inner, "popularity": Popularity()}).fit(checkerboard(), catalogue(20))
    everyone = np.arange(34, dtype=np.int32)
    assert_valid(outer.recommend(everyone, 7), everyone, 7, 20)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Merged({}), r"Merged\.recallers"),
        (lambda: Merged({"a": Fixed([])}, depth=0), r"Merged\.depth"),
        (lambda: Merged({"a": Fixed([])}, batch_size=0), r"Merged\.batch_size"),
        (lambda: Quota({"a": -1.0, "b": 2.0}), r"Quota\.shares"),
        (lambda: Quota({"a": 0.0}), r"Quota\.shares"),
        (lambda: ReciprocalRank(offset=-1.0), r"ReciprocalRank\.offset"),
        (lambda: ReciprocalRank(weights={"a": float("nan")}), r"ReciprocalRank\.weights"),
        (lambda: Calibrated(prior=0.0), r"Calibrated\.prior"),
        (lambda: Calibrated(max_users=0), r"Calibrated\.max_users"),
    ],
)
def test_bad_arguments_are_refused_by_name(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make()


def test_weights_must_name_the_channels() -> None:
    with pytest.raises(ConfigError, match=r"Quota\.shares is for \['ease', 'knn'\], but the channels are"):
        two(256, Quota({"ease": 1, "knn": 1})).fit(checkerboard(), catalogue(20))


def test_calibration_refuses_what_was_trained_before() -> None:
    inner = Merged({"ease": Stored("out/ml100k/recall-ease")})
    with pytest.raises(ConfigError, match="inner holds a Stored, which was trained before"):
        Merged({"inner": inner}, Calibrated()).fit(checkerboard(), catalogue(20))


def test_a_stored_merger_still_says_who_proposed_what(tmp_path: Path) -> None:
    train, everyone = checkerboard(), np.arange(34, dtype=np.int32)
    recaller = two(256, Calibrated()).fit(train, catalogue(20))
    save_recaller(tmp_path, recaller, Origin("test", {"events": {"path": "", "hash": events_hash(train)}}))
    loaded = load_recaller(tmp_path, train)
    assert isinstance(loaded, Merged)
    np.testing.assert_array_equal(recaller.channels(everyone, 9), loaded.channels(everyone, 9))
    assert loaded.names == ("ease", "itemknn")
