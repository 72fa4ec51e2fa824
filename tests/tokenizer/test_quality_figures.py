"""Quality figures against their definitions, and the collapse alarm end to end."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_catalogue import make_features, make_items, mixture

from genrec.errors import ConfigError, TokenizerCollapse
from genrec.tokenizer.assignment import Assignment
from genrec.tokenizer.base import Tokenized, Tokenizer
from genrec.tokenizer.collisions import DeduplicationCode
from genrec.tokenizer.quality import (
    check_usage,
    genre_matrix,
    gini,
    perplexity,
    purity_by_depth,
    quality,
    usage_counts,
)
from genrec.tokenizer.random_ids import RandomIds
from genrec.tokenizer.rqkmeans import RqKMeans
from genrec.tokenizer.rqvae import RqVae

COUNTS = st.lists(st.integers(0, 20), min_size=1, max_size=12)


@given(COUNTS)
def test_gini_is_the_mean_difference_over_twice_the_mean(counts: list[int]) -> None:
    n, total = len(counts), sum(counts)
    expected = sum(abs(a - b) for a in counts for b in counts) / (2 * n * total) if total else 0.0
    assert gini(np.array(counts)) == pytest.approx(expected, abs=1e-12)


@given(COUNTS.filter(any))
def test_perplexity_is_two_to_the_entropy_in_bits(counts: list[int]) -> None:
    shares = [c / sum(counts) for c in counts if c]
    assert perplexity(np.array(counts)) == pytest.approx(2 ** -sum(p * np.log2(p) for p in shares))


def test_extremes() -> None:
    assert gini(np.full(8, 3)) == pytest.approx(0.0)
    assert perplexity(np.full(8, 3)) == pytest.approx(8.0)
    assert gini(np.array([0, 0, 0, 9])) == pytest.approx(0.75)
    assert perplexity(np.array([0, 0, 0, 9])) == 1.0


def test_genres_become_unit_rows() -> None:
    genres = genre_matrix(make_items(10))  # Action, Comedy, Drama
    norms = np.linalg.norm(genres, axis=1)
    assert norms == pytest.approx([1, 1, 1, 1, 0, 1, 1, 1, 1, 0])
    assert genres[0] == pytest.approx([1, 0, 0])  # Action twice is Action
    assert genres[2] == pytest.approx([0.5**0.5, 0, 0.5**0.5])


@given(st.integers(0, 30), st.integers(0, 999))
def test_purity_is_the_mean_over_pairs(n: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 3, (n, 2))
    genres = genre_matrix(make_items(n))
    found = purity_by_depth(codes, (3, 3), genres)
    known = [i for i in range(n) if genres[i].any()]
    for depth in range(3):
        similar = [
            float(genres[i] @ genres[j])
            for i, j in combinations(known, 2)
            if (codes[i, :depth] == codes[j, :depth]).all()
        ]
        assert found[depth] == pytest.approx(np.mean(similar) if similar else np.nan, nan_ok=True, abs=1e-6)


def test_figures_of_a_known_tokenizer() -> None:
    raw = np.array([[0, 0], [0, 0], [0, 0], [2, 1]], dtype=np.int32)
    codes = np.array([[0, 0], [0, 1], [0, 2], [2, 1]], dtype=np.int32)
    genres = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]]
    figures = quality(Tokenized(codes, (4, 3), raw, (1.0, 0.5, 0.25)), genres)
    assert figures["usage/0"] == 0.5
    assert figures["dead/0"] == 2.0
    assert figures["usage/1"] == pytest.approx(2 / 3)
    assert figures["collision_rate_before"] == 0.5
    assert figures["collision_rate"] == 0.0
    assert figures["largest_group"] == 3.0
    assert figures["moved"] == 0.5
    assert figures["reconstruction_error"] == figures["error/2"] == 0.25
    assert figures["error/1"] == 0.5
    assert figures["purity/0"] == figures["purity/1"] == pytest.approx(1 / 3)
    assert "purity/2" not in figures  # no two items share an id
    assert all(np.isfinite(value) for value in figures.values())


def test_usage_counts_keep_dead_codes() -> None:
    assert [c.tolist() for c in usage_counts(np.array([[0, 2], [0, 1]]), (3, 4))] == [[2, 0, 0], [0, 1, 1, 0]]


def test_the_alarm_names_level_and_numbers() -> None:
    with pytest.raises(TokenizerCollapse, match=r"level 1 .* uses 3 of 64 codes \(floor 25%\): .*RqKMeans"):
        check_usage(
            {"usage/0": 1.0, "distinct/0": 0.064, "usage/1": 3 / 64, "distinct/1": 0.1}, (64, 64), 1000, 0.25
        )


@pytest.mark.parametrize(("used", "items", "floor"), [(16, 1000, 0.25), (3, 12, 0.25), (1, 1000, 0.0)])
def test_no_alarm_where_no_more_codes_were_asked_for(used: int, items: int, floor: float) -> None:
    check_usage({"usage/0": used / 64, "distinct/0": 0.1}, (64,), items, floor)


@pytest.mark.parametrize("rule", [Assignment(), Assignment(DeduplicationCode())])
def test_constant_features_end_in_advice(rule: Assignment) -> None:
    x = torch.full((300, 6), 2.5)
    model = RqVae(6, 4, 16, 3, hidden=(8,))
    model.start(x, torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(20):
        model(x)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    tokenizers: list[Tokenizer] = [model, RqKMeans(16, 3)]
    for tokenizer in tokenizers:
        with pytest.raises(TokenizerCollapse, match=r"level 0 .* features differ between items"):
            rule(tokenizer, make_features(x), make_items(300))


@pytest.mark.parametrize("tokenizer", [RqKMeans(16, 3), RandomIds(16, 3)])
@pytest.mark.parametrize("rule", [Assignment(), Assignment(DeduplicationCode(), min_usage=1.0)])
def test_assignment_gives_ids_of_the_whole_catalogue(tokenizer: Tokenizer, rule: Assignment) -> None:
    ids, tokenized = rule(tokenizer, make_features(mixture(250)), make_items(250))
    assert len(ids) == 250
    assert len(np.unique(ids.codes, axis=0)) == 250
    assert ids.quality["collision_rate"] == 0.0
    assert ids.tokenizer == type(tokenizer).__name__
    assert np.array_equal(ids.codes, tokenized.codes)


def test_semantic_ids_bring_alike_items_together_and_random_ids_do_not() -> None:
    items = make_items(240)
    x = torch.from_numpy(genre_matrix(items)) * 3 + 0.2 * mixture(240, width=3)
    semantic, _ = Assignment()(RqKMeans(8, 3), make_features(x), items)
    random, _ = Assignment()(RandomIds(8, 3), make_features(x), items)
    chance = random.quality["purity/0"]
    assert semantic.quality["purity/1"] > chance + 0.15
    assert abs(random.quality["purity/1"] - chance) < 0.05


@pytest.mark.parametrize("floor", [-0.1, 1.1])
def test_the_floor_is_a_share(floor: float) -> None:
    with pytest.raises(ConfigError, match=r"Assignment\.min_usage must be in \[0, 1\]"):
        Assignment(min_usage=floor)


def test_a_level_below_prefixes_that_separate_all_items_is_no_collapse() -> None:
    codes = np.stack([np.arange(20), np.zeros(20, np.int64)], axis=1).astype(np.int32)
    figures = quality(Tokenized(codes, (20, 20), codes), np.ones((20, 1), np.float32))
    check_usage(figures, (20, 20), 20, floor=0.25)
    halved = codes // [2, 1]
    figures = quality(Tokenized(codes, (20, 20), halved.astype(np.int32)), np.ones((20, 1), np.float32))
    with pytest.raises(TokenizerCollapse, match="level 1"):
        check_usage(figures, (20, 20), 20, floor=0.25)


def test_a_deeper_level_with_little_left_to_tell_apart_is_not_judged() -> None:
    figures = {"usage/0": 0.4, "distinct/0": 0.85, "usage/1": 2 / 256, "distinct/1": 0.9}
    check_usage(figures, (256, 256), 120, floor=0.25)
    with pytest.raises(TokenizerCollapse, match=r"level 1 .* uses 2 of 256"):
        check_usage(figures, (256, 256), 12_000, floor=0.25)
