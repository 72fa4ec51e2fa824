from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.errors import ConfigError
from genrec.training.schedules import (
    Constant,
    Cosine,
    InverseSquareRoot,
    Linear,
    Schedule,
    WarmupStableDecay,
)


def test_cosine_at_known_points() -> None:
    schedule = Cosine(warmup=4, floor=0.2)
    assert [schedule(step, 104) for step in (0, 1, 3, 4)] == [0.25, 0.5, 1.0, 1.0]
    assert schedule(54, 104) == pytest.approx(0.6)
    assert schedule(104, 104) == pytest.approx(0.2)
    assert schedule(999, 104) == pytest.approx(0.2)


@given(st.integers(0, 50), st.floats(0, 1), st.integers(1, 200))
def test_cosine_never_rises_after_the_warmup_and_stays_between_its_ends(
    w: int, floor: float, total: int
) -> None:
    factors = [Cosine(w, floor)(step, total) for step in range(w, max(w + 1, total))]
    assert all(floor - 1e-12 <= factor <= 1 for factor in factors)
    assert all(a >= b for a, b in pairwise(factors))


def test_constant_warms_up_and_stays() -> None:
    assert [Constant(2)(step, 9) for step in (0, 1, 2, 8)] == [0.5, 1, 1, 1]
    assert Constant()(0, 9) == 1


def test_linear_is_a_line() -> None:
    schedule = Linear(warmup=4, floor=0.2)
    assert [schedule(step, 104) for step in (0, 3, 4)] == [0.25, 1.0, 1.0]
    assert [schedule(step, 104) for step in (54, 104, 999)] == pytest.approx([0.6, 0.2, 0.2])


def test_inverse_square_root_falls_by_half_in_four_times_the_steps() -> None:
    schedule = InverseSquareRoot(100)
    assert [schedule(step, 1) for step in (0, 49, 99, 399)] == pytest.approx([0.01, 0.5, 1.0, 0.5])


def test_warmup_stable_decay_stays_then_falls() -> None:
    schedule = WarmupStableDecay(warmup=2, decay=0.2, floor=0.1)
    factors = [schedule(step, 100) for step in (0, 1, 50, 80, 90, 100)]
    assert factors == pytest.approx([0.5, 1.0, 1.0, 1.0, 0.55, 0.1])
    assert WarmupStableDecay(decay=0.0)(99, 100) == 1.0


@given(
    st.sampled_from([Linear(5, 0.1), InverseSquareRoot(5), WarmupStableDecay(5, 0.3, 0.1), Cosine(5, 0.1)]),
    st.integers(6, 300),
)
def test_every_schedule_rises_to_one_and_never_again(schedule: Schedule, total: int) -> None:
    factors = [schedule(step, total) for step in range(total)]
    assert all(0 < factor <= 1 for factor in factors)
    assert all(a <= b for a, b in pairwise(factors[:4]))
    assert all(a >= b for a, b in pairwise(factors[5:]))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Linear(floor=-0.5), "Linear.floor"),
        (lambda: Linear(warmup=-1), "Linear.warmup"),
        (lambda: InverseSquareRoot(0), "InverseSquareRoot.warmup"),
        (lambda: WarmupStableDecay(decay=1.5), "WarmupStableDecay.decay"),
        (lambda: WarmupStableDecay(floor=1.5), "WarmupStableDecay.floor"),
        (lambda: Cosine(floor=1.5), "Cosine.floor"),
        (lambda: Cosine(warmup=-1), "Cosine.warmup"),
        (lambda: Constant(warmup=-1), "Constant.warmup"),
    ],
)
def test_a_bad_argument_is_named(make: object, name: str) -> None:
    assert callable(make)
    with pytest.raises(ConfigError, match=name):
        make()
