"""Probes against what they should say of models whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genrec.data.histories import Histories
from genrec.data.recommendations import Recommendations
from genrec.data.tables import Interactions
from genrec.errors import ConfigError
from genrec.generative.timeline import Timeline
from genrec.generative.tree import CodeTree
from genrec.recall.generative import GenerativeRecaller
from genrec.recall.probe import agreement, by_width, level_hits

N_USERS, N_ITEMS = 6, 12
USERS = np.arange(N_USERS, dtype=np.int32)


@pytest.fixture
def generative() -> GenerativeRecaller:
    """An untrained model over 12 items with ids of two codes, and histories of two items."""
    torch.manual_seed(0)
    codes = np.stack(np.unravel_index(np.arange(N_ITEMS), (3, 4)), axis=1)
    model = Timeline(CodeTree.of(codes, (3, 4)), embed_dim=8, width=8, heads=2, layers=1, max_length=4)
    recaller = GenerativeRecaller(model, width=3)
    seen = np.repeat(USERS, 2)
    events = Interactions(seen, np.arange(12, dtype=np.int32), N_USERS, N_ITEMS)
    recaller.histories = Histories.of(events)
    return recaller


def lists(items: list[list[int]]) -> Recommendations:
    array = np.array(items, dtype=np.int32)
    return Recommendations(np.arange(len(items), dtype=np.int32), array, np.zeros(array.shape, np.float32))


def test_agreement_counts_shared_items_at_any_place() -> None:
    assert agreement(lists([[1, 2], [3, 4]]), lists([[2, 1], [3, 5]])) == 0.75
    assert agreement(lists([[1, 2]]), lists([[7, -1]])) == 0.0
    assert agreement(lists([[7, -1]]), lists([[7, -1]])) == 1.0


def test_a_beam_as_wide_as_the_catalogue_agrees_with_exact(generative: GenerativeRecaller) -> None:
    found = by_width(generative, USERS, 4, [4, N_ITEMS])
    assert list(found) == [4, N_ITEMS, None]
    exact = found[None].lists
    assert agreement(found[N_ITEMS].lists, exact) == 1.0
    assert np.array_equal(found[N_ITEMS].lists.items, exact.items)
    assert agreement(found[4].lists, exact) <= 1.0
    assert all(one.seconds > 0 for one in found.values())


def test_a_width_below_one_is_refused(generative: GenerativeRecaller) -> None:
    with pytest.raises(ConfigError, match="beam widths"):
        by_width(generative, USERS, 4, [0, 5])


def test_levels_against_the_greedy_item_itself(generative: GenerativeRecaller) -> None:
    greedy = GenerativeRecaller(generative.model, width=1)
    greedy.histories = generative.histories
    best = greedy.recommend(USERS, 1).items[:, 0]
    hits = level_hits(generative, USERS, best)
    assert hits.correct.all()
    assert hits.on_track.all()
    sibling = best // 4 * 4 + (best % 4 + 1) % 4  # right first code, wrong second
    hits = level_hits(generative, USERS, sibling.astype(np.int32))
    assert hits.correct.tolist() == [[True, False]] * N_USERS
    assert hits.on_track.all()
    stranger = (best + 4) % N_ITEMS  # wrong first code, right second
    hits = level_hits(generative, USERS, stranger.astype(np.int32))
    assert hits.correct.tolist() == [[False, True]] * N_USERS
    assert hits.on_track.tolist() == [[True, False]] * N_USERS
