from __future__ import annotations

import numpy as np
import pytest

from genrec.errors import ConfigError
from genrec.evaluation import significance
from genrec.evaluation.significance import bootstrap, intervals, paired_bootstrap, resampled_means


def test_the_interval_has_the_width_of_theory() -> None:
    values = np.random.default_rng(0).normal(0.3, 2.0, size=900)
    found = bootstrap(values)
    half = 1.96 * values.std() / 30
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(found.mean - half, abs=0.1 * half)
    assert found.high == pytest.approx(found.mean + half, abs=0.1 * half)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """300 samples of 200 users whose true mean is 0.1: 80 % intervals must cover it about 240 times."""
    samples = (np.random.default_rng(1).random((200, 300)) < 0.1).astype(float)
    found = intervals(samples.mean(axis=0), resampled_means(samples, n=400), level=0.8)
    covered = sum(i.low <= 0.1 <= i.high for i in found)
    assert abs(covered - 240) < 35


def test_pairing_removes_what_is_hard_about_a_user() -> None:
    rng = np.random.default_rng(2)
    hard = rng.normal(size=400)
    a, b = hard + rng.normal(0.05, 0.1, size=400), hard
    paired = paired_bootstrap(a, b)
    assert paired.excludes_zero
    assert paired.mean == pytest.approx((a - b).mean())
    alone = bootstrap(a)
    assert paired.high - paired.low < 0.2 * (alone.high - alone.low)


def test_swapping_the_methods_mirrors_the_interval() -> None:
    a, b = np.random.default_rng(3).random((2, 50))
    there, back = paired_bootstrap(a, b, n=200), paired_bootstrap(b, a, n=200)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_equal_methods_are_not_told_apart() -> None:
    a = np.random.default_rng(4).random(50)
    assert not paired_bootstrap(a, a).excludes_zero


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(5).random((40, 3))
    whole = resampled_means(values, n=300)
    monkeypatch.setattr(significance, "_CELLS", 40 * 7)
    assert resampled_means(values, n=300) == pytest.approx(whole)


def test_equal_seeds_pair_two_methods() -> None:
    a, b = np.random.default_rng(6).random((2, 50, 1))
    apart = resampled_means(a, n=100) - resampled_means(b, n=100)
    assert apart == pytest.approx(resampled_means(a - b, n=100))


@pytest.mark.parametrize("n", [0, -3, 2.5])
def test_resamples_are_counted(n: int) -> None:
    with pytest.raises(ConfigError, match=r"bootstrap\.n"):
        bootstrap([0.0, 1.0], n=n)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_level_is_a_fraction(level: float) -> None:
    with pytest.raises(ConfigError, match=r"bootstrap\.level"):
        bootstrap([0.0, 1.0], level=level)


def test_nan_and_unequal_users_are_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        bootstrap([0.0, float("nan")])
    with pytest.raises(ValueError, match="same users"):
        paired_bootstrap(np.zeros(3), np.zeros(4))
