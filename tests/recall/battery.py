"""What every recaller must do, whatever it is: inherit `RecallerBattery` and say how one is made.

    class TestEase(RecallerBattery):
        def make(self, batch_size=256): return Ease(l2=1.0, batch_size=batch_size)

The checkerboard has one right answer: even users like even items, odd users odd items, and every user misses
exactly one item of the own colour.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from genrec.artifacts import input_ref
from genrec.data.recommendations import Recommendations
from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.recall.base import Recaller
from genrec.recall.storable import Storable
from genrec.recall.store import Origin, check_storable, events_hash, load_recaller, save_recaller

N_ITEMS = 20
N_USERS = 34  # of which the first 30 form the checkerboard
ONE_ITEM, COLD, EVERYTHING, REPEATED = 30, 31, 32, 33
"""Users with item 0 only, no event, all items, and item 3 three times."""


def interactions(pairs: list[tuple[int, int]], n_users: int, n_items: int) -> Interactions:
    """Events sorted by user, in the order given within a user, an hour apart."""
    flat = np.array(pairs, dtype=np.int32).reshape(-1, 2)
    flat = flat[np.argsort(flat[:, 0], kind="stable")]
    return Interactions(
        users=flat[:, 0].copy(),
        items=flat[:, 1].copy(),
        n_users=n_users,
        n_items=n_items,
        timestamps=1_000_000_000 + 3600 * np.arange(len(flat), dtype=np.int64),
    )


def catalogue(n_items: int) -> ItemTable:
    return ItemTable(
        pd.DataFrame(
            {
                "item_id": np.arange(n_items) + 100,
                "title": [f"Title {item}" for item in range(n_items)],
                "year": pd.array([1990 + item % 5 for item in range(n_items)], dtype="Int64"),
                "genres": [["even" if item % 2 == 0 else "odd"] for item in range(n_items)],
                "text": "",
            }
        )
    )


def missing_item(user: int) -> int:
    """The item of the user's colour that is not in the history."""
    return 2 * ((user // 2) % (N_ITEMS // 2)) + user % 2


def checkerboard() -> Interactions:
    rng = np.random.default_rng(7)
    pairs = [
        (user, int(item))
        for user in range(30)
        for item in rng.permutation(np.arange(user % 2, N_ITEMS, 2))
        if item != missing_item(user)
    ]
    pairs += [(ONE_ITEM, 0)]
    pairs += [(EVERYTHING, int(item)) for item in rng.permutation(N_ITEMS)]
    pairs += [(REPEATED, 3)] * 3
    return interactions(pairs, N_USERS, N_ITEMS)


def assert_valid(lists: Recommendations, users: NDArray[np.int32], k: int, n_items: int) -> None:
    """The contract of `Recommendations`."""
    assert lists.items.shape == lists.scores.shape == (len(users), k)
    assert lists.items.dtype == np.int32
    assert lists.scores.dtype == np.float32
    np.testing.assert_array_equal(lists.users, users)
    assert not np.isnan(lists.scores).any()
    assert (lists.items < n_items).all()
    assert (lists.items >= -1).all()
    np.testing.assert_array_equal(lists.items == -1, np.isneginf(lists.scores))
    for items, scores in zip(lists.items, lists.scores, strict=True):
        kept = items[items >= 0]
        assert len(set(kept.tolist())) == len(kept)
        assert (items[len(kept) :] == -1).all()
        finite = scores[: len(kept)]
        assert (finite[:-1] >= finite[1:]).all()


def assert_same(first: Recommendations, second: Recommendations) -> None:
    np.testing.assert_array_equal(first.items, second.items)
    np.testing.assert_array_equal(first.scores, second.scores)


class RecallerBattery(ABC):
    """Tests every recaller must pass.

    Attributes:
        personal: whether it can solve the checkerboard; popularity cannot.
        storable: whether it can be stored by itself; a recaller over a model that stands elsewhere cannot.
        forgotten: attributes that are of training alone, and that a loaded recaller need not have.
    """

    personal = True
    storable = True
    forgotten: tuple[str, ...] = ()

    @abstractmethod
    def make(self, batch_size: int = 256) -> Recaller:
        """A new, unfitted recaller."""

    @pytest.fixture(scope="class")
    @classmethod
    def train(cls) -> Interactions:
        return checkerboard()

    @pytest.fixture(scope="class")
    @classmethod
    def items(cls) -> ItemTable:
        return catalogue(N_ITEMS)

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, train: Interactions, items: ItemTable) -> Recaller:
        return cls().make().fit(train, items, None)

    everyone = np.arange(N_USERS, dtype=np.int32)

    def test_fit_returns_the_recaller(self, train: Interactions, items: ItemTable) -> None:
        recaller = self.make()
        assert recaller.fit(train, items, None) is recaller

    def test_finds_the_missing_square_of_the_checkerboard(self, fitted: Recaller) -> None:
        if not self.personal:
            return
        users = np.arange(30, dtype=np.int32)
        best = fitted.recommend(users, 1).items[:, 0]
        np.testing.assert_array_equal(best, [missing_item(user) for user in users])

    def test_unmasked_lists_hold_the_own_colour(self, fitted: Recaller) -> None:
        if not self.personal:
            return
        users = np.arange(30, dtype=np.int32)
        lists = fitted.recommend(users, 5, exclude_seen=False).items
        np.testing.assert_array_equal(lists % 2, np.repeat(users[:, None] % 2, 5, axis=1))

    def test_one_item_is_enough_to_see_the_colour(self, fitted: Recaller) -> None:
        if not self.personal:
            return
        lists = fitted.recommend(np.array([ONE_ITEM, REPEATED], np.int32), 5).items
        assert (lists[0] % 2 == 0).all()
        assert (lists[1] % 2 == 1).all()

    @pytest.mark.parametrize("exclude_seen", [True, False])
    @pytest.mark.parametrize("k", [1, 7, N_ITEMS, N_ITEMS + 13])
    def test_lists_keep_the_contract(self, fitted: Recaller, k: int, exclude_seen: bool) -> None:
        lists = fitted.recommend(self.everyone, k, exclude_seen=exclude_seen)
        assert_valid(lists, self.everyone, k, N_ITEMS)

    def test_masked_lists_hold_nothing_seen_and_everything_else(
        self, fitted: Recaller, train: Interactions
    ) -> None:
        lists = fitted.recommend(self.everyone, N_ITEMS + 2)
        for user in self.everyone:
            seen = set(train.items[train.users == user].tolist())
            found = set(lists.items[user].tolist()) - {-1}
            assert found == set(range(N_ITEMS)) - seen

    def test_a_user_who_saw_everything_gets_an_empty_list(self, fitted: Recaller) -> None:
        user = np.array([EVERYTHING], np.int32)
        assert (fitted.recommend(user, 5).items == -1).all()
        assert (fitted.recommend(user, 5, exclude_seen=False).items >= 0).all()

    def test_a_cold_user_gets_a_full_list(self, fitted: Recaller) -> None:
        lists = fitted.recommend(np.array([COLD], np.int32), N_ITEMS)
        assert sorted(lists.items[0].tolist()) == list(range(N_ITEMS))

    def test_equal_scores_do_not_go_to_low_ids(self, items: ItemTable) -> None:
        """Every item and every pair of items is alike, so nothing but the tie rule orders a cold user's list."""
        pairs = [(user, item) for user in range(3) for item in range(N_ITEMS)]
        train = interactions(pairs, 4, N_ITEMS)
        train = Interactions(train.users, train.items, train.n_users, train.n_items)
        lists = self.make().fit(train, items, None).recommend(np.array([3], np.int32), N_ITEMS)
        assert lists.items[0].tolist() != list(range(N_ITEMS))

    def test_two_fits_agree(self, fitted: Recaller, train: Interactions, items: ItemTable) -> None:
        again = self.make().fit(train, items, None)
        assert_same(fitted.recommend(self.everyone, 9), again.recommend(self.everyone, 9))

    @pytest.mark.parametrize("batch_size", [1, 3, 1000])
    def test_batch_size_changes_nothing(
        self, fitted: Recaller, train: Interactions, items: ItemTable, batch_size: int
    ) -> None:
        other = self.make(batch_size).fit(train, items, None)
        assert_same(fitted.recommend(self.everyone, 9), other.recommend(self.everyone, 9))

    def test_order_and_company_of_users_change_nothing(self, fitted: Recaller) -> None:
        whole = fitted.recommend(self.everyone, 9)
        chosen = np.array([17, 2, 2, COLD, 5], np.int32)
        some = fitted.recommend(chosen, 9)
        np.testing.assert_array_equal(some.users, chosen)
        np.testing.assert_array_equal(some.items, whole.items[chosen])
        np.testing.assert_array_equal(some.scores, whole.scores[chosen])

    def test_a_short_list_is_the_start_of_a_long_one(self, fitted: Recaller) -> None:
        long = fitted.recommend(self.everyone, 9)
        np.testing.assert_array_equal(fitted.recommend(self.everyone, 4).items, long.items[:, :4])

    @pytest.mark.parametrize("n_users", [N_ITEMS - 8, N_ITEMS + 8])
    def test_users_and_items_are_not_swapped(self, items: ItemTable, n_users: int) -> None:
        """With fewer users than items, and with more: a swap would be an index out of range or a wrong colour."""
        board = checkerboard()
        train = board.take(np.flatnonzero(board.users < n_users))
        train = Interactions(train.users, train.items, n_users, N_ITEMS, timestamps=train.timestamps)
        users = np.arange(n_users, dtype=np.int32)
        lists = self.make().fit(train, items, None).recommend(users, N_ITEMS, exclude_seen=False)
        assert_valid(lists, users, N_ITEMS, N_ITEMS)
        np.testing.assert_array_equal(np.sort(lists.items, axis=1), np.tile(np.arange(N_ITEMS), (n_users, 1)))
        if self.personal:
            own = lists.items[:, :5] % 2 == users[:, None] % 2
            assert own.mean() > 0.9

    @pytest.fixture
    def loaded(self, fitted: Recaller, train: Interactions, tmp_path: Path) -> Recaller:
        """Written and read again; itself where it cannot be stored."""
        if not self.storable:
            return fitted
        assert isinstance(fitted, Storable)
        check_storable(fitted)
        save_recaller(
            tmp_path / "stored", fitted, Origin("test", {"events": input_ref("", events_hash(train))})
        )
        loaded = load_recaller(tmp_path / "stored", train)
        assert type(loaded) is type(fitted)
        assert loaded is not fitted
        return loaded  # type: ignore[return-value]

    @pytest.mark.parametrize("exclude_seen", [True, False])
    def test_a_loaded_recaller_gives_the_same_lists(
        self, fitted: Recaller, loaded: Recaller, exclude_seen: bool
    ) -> None:
        assert_same(
            fitted.recommend(self.everyone, N_ITEMS, exclude_seen=exclude_seen),
            loaded.recommend(self.everyone, N_ITEMS, exclude_seen=exclude_seen),
        )

    def test_a_loaded_recaller_has_everything(self, fitted: Recaller, loaded: Recaller) -> None:
        if self.storable:
            assert vars(fitted).keys() - vars(loaded).keys() <= set(self.forgotten)

    def test_no_pickle_is_written(self, loaded: Recaller, tmp_path: Path) -> None:
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert bool(files) == self.storable
        assert {path.suffix for path in files} <= {".json", ".gin", ".npy", ".safetensors"}
        for path in files:
            if path.suffix == ".npy":
                np.load(path, allow_pickle=False)

    def test_no_users_no_lists(self, fitted: Recaller) -> None:
        lists = fitted.recommend(np.empty(0, np.int32), 4)
        assert_valid(lists, np.empty(0, np.int32), 4, N_ITEMS)

    @pytest.mark.parametrize("k", [0, -1])
    def test_k_must_be_positive(self, fitted: Recaller, k: int) -> None:
        with pytest.raises(ConfigError, match="at least 1"):
            fitted.recommend(self.everyone, k)

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
    @given(data=st.data())
    def test_random_events_never_break_the_contract(self, data: st.DataObject) -> None:
        n_users, n_items = data.draw(st.integers(1, 6)), data.draw(st.integers(2, 8))
        pair = st.tuples(st.integers(0, n_users - 1), st.integers(0, n_items - 1))
        train = interactions(data.draw(st.lists(pair, min_size=1, max_size=30)), n_users, n_items)
        users = np.arange(n_users, dtype=np.int32)
        lists = self.make().fit(train, catalogue(n_items), None).recommend(users, 5)
        assert_valid(lists, users, 5, n_items)
        seen = set(zip(train.users.tolist(), train.items.tolist(), strict=True))
        found = {(user, item) for user in users.tolist() for item in lists.items[user].tolist()}
        assert not seen & found
