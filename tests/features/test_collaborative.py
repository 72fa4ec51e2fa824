from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.collaborative import CoOccurrence, cooccurrence, positive_pmi

HISTORIES = st.lists(st.lists(st.integers(0, 6), max_size=9), min_size=1, max_size=6)


def events(histories: list[list[int]], n_items: int = 7) -> Interactions:
    users = np.repeat(np.arange(len(histories)), [len(h) for h in histories]).astype(np.int32)
    items = np.array([item for history in histories for item in history], dtype=np.int32)
    return Interactions(users, items, len(histories), n_items)


def clusters(seed: int = 0) -> Interactions:
    """Histories within one of three groups of ten items; item 30 never occurs."""
    rng = np.random.default_rng(seed)
    return events([list(rng.permutation(10)[:6] + 10 * (user % 3)) for user in range(90)], n_items=31)


@given(HISTORIES, st.integers(1, 10), st.sampled_from([1.0, 0.5]))
@settings(max_examples=60, deadline=None)
def test_cooccurrence_equals_counting_pairs(histories: list[list[int]], window: int, decay: float) -> None:
    expected: Counter[tuple[int, int]] = Counter()
    for history in histories:
        for i, first in enumerate(history):
            for j, second in enumerate(history):
                if 0 < abs(i - j) <= window and first != second:
                    expected[first, second] += decay ** (abs(i - j) - 1)  # type: ignore[assignment]
    found = cooccurrence(events(histories), window, decay).toarray()
    dense = np.zeros((7, 7))
    for (first, second), count in expected.items():
        dense[first, second] = count
    np.testing.assert_allclose(found, dense, rtol=1e-5)


@given(HISTORIES, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_who_the_users_are_does_not_matter(histories: list[list[int]], random: object) -> None:
    shuffled = list(histories)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = (
        positive_pmi(cooccurrence(events(h), 4, 0.9), 0.75, 1.0).toarray() for h in (histories, shuffled)
    )
    np.testing.assert_allclose(first, second, atol=1e-5)


@given(HISTORIES, st.sampled_from([1.0, 0.75]), st.sampled_from([1.0, 3.0]))
@settings(max_examples=40, deadline=None)
def test_ppmi_equals_its_definition(histories: list[list[int]], smoothing: float, negatives: float) -> None:
    counts = cooccurrence(events(histories), 3, 1.0)
    dense = counts.toarray().astype(float)
    found = positive_pmi(counts, smoothing, negatives).toarray()
    if not dense.any():
        assert not found.any()
        return
    joint = dense / dense.sum()
    item = joint.sum(axis=1)
    context = item**smoothing / (item**smoothing).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.log(joint / np.outer(item, context)) - np.log(negatives)
    np.testing.assert_allclose(found, np.maximum(np.nan_to_num(expected, neginf=0, nan=0), 0), atol=1e-5)


def test_items_of_a_group_are_close_and_groups_are_apart(items: ItemTable) -> None:
    features = CoOccurrence(width=8, window=5).encode(items, clusters())
    unit = features.vectors[:30] / np.linalg.norm(features.vectors[:30], axis=1, keepdims=True)
    similarity = unit @ unit.T
    same = np.arange(30)[:, None] // 10 == np.arange(30) // 10
    assert similarity[same].mean() > similarity[~same].mean() + 0.4
    assert features.modality == "collaborative"


def test_users_in_another_order_give_the_same_geometry(items: ItemTable) -> None:
    train = clusters()
    order = np.concatenate(
        [np.flatnonzero(train.users == user) for user in np.random.default_rng(1).permutation(90)]
    )
    moved = Interactions(train.users.copy(), train.items[order], 90, 31)
    first, second = (CoOccurrence(width=8).encode(items, part).vectors for part in (train, moved))
    np.testing.assert_allclose(first @ first.T, second @ second.T, atol=1e-3)


def test_items_without_a_neighbour_in_training_are_absent(items: ItemTable, train: Interactions) -> None:
    features = CoOccurrence(width=3, smoothing=1.0).encode(items, train)
    assert not features.present[5]  # alone in its history
    assert not features.present[7]  # never seen
    assert features.present[[0, 1, 3, 4, 6]].all()
    assert not features.vectors[~features.present].any()


def test_no_events_no_features(items: ItemTable) -> None:
    features = CoOccurrence(width=3).encode(items, events([[]]))
    assert features.vectors.shape == (7, 3)
    assert not features.present.any()


def test_wider_than_the_catalogue_is_padded(items: ItemTable, train: Interactions) -> None:
    features = CoOccurrence(width=20).encode(items, train)
    assert features.width == 20
    assert not features.vectors[:, 8:].any()


def test_two_runs_agree(items: ItemTable) -> None:
    first, second = (CoOccurrence(width=8).encode(items, clusters()).vectors for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "settings",
    [
        {"width": 0},
        {"window": 0},
        {"negatives": 0.5},
        {"decay": 0.0},
        {"decay": 1.1},
        {"smoothing": 0.0},
        {"power": -0.1},
    ],
)
def test_settings_are_named(settings: dict) -> None:
    with pytest.raises(ConfigError, match=rf"CoOccurrence\.{next(iter(settings))}"):
        CoOccurrence(**settings)
