from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.errors import ConfigError
from genrec.training.schedules import Constant, Cosine


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


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Cosine(floor=1.5), "Cosine.floor"),
        (lambda: Cosine(warmup=-1), "Cosine.warmup"),
        (lambda: Constant(warmup=-1), "Constant.warmup"),
    ],
)
def test_a_bad_argument_is_named(make: object, name: str) -> None:
    assert callable(make)
    with pytest.raises(ConfigError, match=name):
        make()
