"""The control: distinct, uniform, and blind to the features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.errors import ConfigError
from genrec.tokenizer.collisions import UniqueAssignment
from genrec.tokenizer.random_ids import RandomIds

RULE = UniqueAssignment()


@given(k=st.integers(2, 5), levels=st.integers(1, 5), fill=st.floats(0.0, 1.0), seed=st.integers(0, 999))
def test_codes_are_distinct_and_in_range(k: int, levels: int, fill: float, seed: int) -> None:
    n = int(fill * k**levels)
    tokenized = RandomIds(k, levels, seed=seed).tokenize(torch.zeros(n, 1), RULE)
    assert tokenized.codes.shape == (n, levels)
    assert tokenized.codes.dtype == np.int32
    assert len(np.unique(tokenized.codes, axis=0)) == n
    assert tokenized.codes.min(initial=0) >= 0
    assert tokenized.codes.max(initial=0) < k
    assert tokenized.raw is None
    assert tokenized.error_by_depth == ()


@pytest.mark.parametrize("n", [64, 63, 16, 15])
def test_full_and_nearly_full(n: int) -> None:
    codes = RandomIds(4, 3).tokenize(torch.zeros(n, 1), RULE).codes
    assert len(np.unique(codes, axis=0)) == n


@pytest.mark.parametrize(("k", "n"), [(16, 20_000), (64, 20_000)])  # dense draw, sparse draw
def test_every_level_is_uniform(k: int, n: int) -> None:
    levels = 4
    codes = RandomIds(k, levels, seed=1).tokenize(torch.zeros(n, 1), RULE).codes
    for level in range(levels):
        counts = np.bincount(codes[:, level], minlength=k)
        chi_square = ((counts - n / k) ** 2 / (n / k)).sum()
        assert chi_square < k - 1 + 5 * np.sqrt(2 * (k - 1))


def test_the_seed_decides_and_the_features_do_not() -> None:
    one = RandomIds(32, 3, seed=4).tokenize(torch.zeros(100, 2), RULE).codes
    same = RandomIds(32, 3, seed=4).tokenize(torch.randn(100, 9), RULE).codes
    other = RandomIds(32, 3, seed=5).tokenize(torch.zeros(100, 2), RULE).codes
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert RandomIds().weights() == {}


def test_ids_longer_than_an_integer() -> None:
    codes = RandomIds(256, 32).tokenize(torch.zeros(500, 1), RULE).codes
    assert len(np.unique(codes, axis=0)) == 500
    assert codes.max() > 200


def test_too_many_items() -> None:
    with pytest.raises(
        ConfigError, match=r"9 items do not fit into 8 random ids; raise RandomIds.codebook_size"
    ):
        RandomIds(2, 3).tokenize(torch.zeros(9, 1), RULE)


@pytest.mark.parametrize(("k", "levels"), [(1, 3), (4, 0), (-2, 2)])
def test_names_the_wrong_argument(k: int, levels: int) -> None:
    with pytest.raises(ConfigError, match=rf"RandomIds\.codebook_size .* got {k} and {levels}"):
        RandomIds(k, levels)
