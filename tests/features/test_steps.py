from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError, DataError
from genrec.features.base import ItemFeatures
from genrec.features.metadata import Metadata
from genrec.features.steps import L2, PcaWhiten, Standardise, Step, Steps, apply_step

ROWS = arrays(
    np.float32, st.tuples(st.integers(2, 12), st.integers(1, 5)), elements=st.floats(-50, 50, width=32)
)


def features(rows: np.ndarray, absent: int = 0) -> ItemFeatures:
    """The rows, followed by absent items."""
    vectors = np.concatenate([rows, np.zeros((absent, rows.shape[1]), np.float32)]).astype(np.float32)
    return ItemFeatures(vectors, np.arange(len(vectors)) < len(rows), "text", "Fake()")


def random_rows(n: int = 200, width: int = 6) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((n, width)) @ rng.standard_normal((width, width)) + 3).astype(np.float32)


@given(ROWS, st.integers(0, 3), st.sampled_from([Standardise(), L2(), PcaWhiten(3), PcaWhiten(3, power=0.5)]))
@settings(max_examples=80, deadline=None)
def test_absent_rows_stay_zero_and_never_move_the_others(rows: np.ndarray, absent: int, step: Step) -> None:
    alone, among = apply_step(features(rows), step), apply_step(features(rows, absent), step)
    np.testing.assert_array_equal(among.vectors[: len(rows)], alone.vectors)
    assert not among.vectors[len(rows) :].any()
    assert np.isfinite(among.vectors).all()


@given(ROWS)
@settings(max_examples=50, deadline=None)
def test_standardised_columns_have_mean_zero_and_deviation_one_or_zero(rows: np.ndarray) -> None:
    found = apply_step(features(rows), Standardise()).vectors.astype(float)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-4)
    deviation = found.std(axis=0)
    assert (np.isclose(deviation, 1, atol=1e-4) | (deviation == 0)).all()


def test_a_constant_column_becomes_zero_not_noise() -> None:
    rows = random_rows()
    rows[:, 2] = 0.1
    assert not apply_step(features(rows), Standardise()).vectors[:, 2].any()


@given(ROWS)
@settings(max_examples=50, deadline=None)
def test_l2_rows_have_length_one_or_zero(rows: np.ndarray) -> None:
    found = np.linalg.norm(apply_step(features(rows), L2()).vectors, axis=1)
    np.testing.assert_allclose(found, np.any(rows != 0, axis=1), atol=1e-5)


def test_whitening_gives_the_identity_as_covariance() -> None:
    found = apply_step(features(random_rows(), absent=9), PcaWhiten(6)).vectors[:200]
    np.testing.assert_allclose(np.cov(found.T, bias=True), np.eye(6), atol=1e-4)


def test_power_zero_is_a_rotation_and_half_lies_between() -> None:
    rows = random_rows()
    centred = rows - rows.mean(axis=0)
    plain = apply_step(features(rows), PcaWhiten(6, power=0)).vectors
    half = apply_step(features(rows), PcaWhiten(6, power=0.5)).vectors
    np.testing.assert_allclose(plain @ plain.T, centred @ centred.T, atol=1e-3)
    np.testing.assert_allclose(half.var(axis=0), np.sqrt(plain.var(axis=0)), rtol=1e-3)
    assert (np.diff(plain.var(axis=0)) <= 0).all()


def test_pca_keeps_the_strongest_axes_and_pads_what_is_not_there() -> None:
    rows = random_rows(width=2) @ np.random.default_rng(1).standard_normal((2, 5)).astype(np.float32)
    found = apply_step(features(rows), PcaWhiten(4)).vectors  # rank 2: whitening the rest would be noise
    np.testing.assert_allclose(found.var(axis=0), [1, 1, 0, 0], atol=1e-3)


def test_pca_axes_do_not_flip_with_the_order_of_items() -> None:
    rows = random_rows()
    order = np.random.default_rng(2).permutation(len(rows))
    found = apply_step(features(rows[order]), PcaWhiten(6)).vectors
    np.testing.assert_allclose(found, apply_step(features(rows), PcaWhiten(6)).vectors[order], atol=1e-3)


def test_steps_follow_an_encoder_in_order(items: ItemTable, train: Interactions) -> None:
    plain = Metadata(title_width=8).encode(items, train)
    chained = Steps(Metadata(title_width=8), [Standardise(), L2()]).encode(items, train)
    expected = apply_step(apply_step(plain, Standardise()), L2())
    np.testing.assert_array_equal(chained.vectors, expected.vectors)
    assert chained.encoder == f"{plain.encoder} > Standardise() > L2()"
    assert chained.parts == plain.parts
    mixed = Steps(Metadata(title_width=8), [PcaWhiten(plain.width)]).encode(items, train)
    assert mixed.parts == (("metadata", plain.width),)


def test_nothing_present_is_one_sentence() -> None:
    empty = ItemFeatures(np.zeros((3, 2), np.float32), np.zeros(3, bool), "image", "Fake()")
    with pytest.raises(DataError, match="image features: no item has any"):
        apply_step(empty, Standardise())


def test_settings_are_named() -> None:
    with pytest.raises(ConfigError, match=r"PcaWhiten\.width"):
        PcaWhiten(0)
    with pytest.raises(ConfigError, match=r"PcaWhiten\.power"):
        PcaWhiten(2, power=1.5)
    with pytest.raises(ConfigError, match=r"Steps\.steps"):
        Steps(Metadata(), [])
