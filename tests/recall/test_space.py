"""Spaces: values and the coordinates that are drawn for them."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.errors import ConfigError
from genrec.recall.space import Choice, Integers, LogUniform, Space, Uniform, optuna

SPACES: list[Space] = [
    Uniform(-1.0, 2.5),
    LogUniform(0.001, 30.0),
    Integers(-3, 9),
    Integers(1, 500, log=True),
    Choice([None, True, 1, 1.0, "x", (64, 32)]),
]


@pytest.mark.parametrize("space", SPACES, ids=repr)
@pytest.mark.parametrize("seed", range(5))
def test_what_is_drawn_is_a_value_of_the_space(space: Space, seed: int) -> None:
    package = optuna()
    study = package.create_study(sampler=package.samplers.RandomSampler(seed))
    value = space.value(study.ask({"x": space.distribution()}).params["x"])
    coordinate = space.coordinate(value)
    assert coordinate is not None
    assert space.value(coordinate) == value
    assert space.distribution()._contains(coordinate)


@given(st.floats(0.001, 30.0))
def test_numbers_have_four_digits_and_stay_inside(coordinate: float) -> None:
    value = LogUniform(0.001, 30.0).value(coordinate)
    assert isinstance(value, float)
    assert value == pytest.approx(coordinate, rel=1e-3)
    assert 0.001 <= value <= 30.0
    assert len(f"{value:g}") <= 7


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (Uniform(0.0, 1.0), 1.01),
        (Uniform(0.0, 1.0), True),
        (LogUniform(0.1, 1.0), None),
        (LogUniform(0.1, 1.0), "0.5"),
        (Integers(1, 5), 6),
        (Integers(1, 5), 2.5),
        (Choice([1, 2]), 3),
        (Choice([1, 2]), 1.0),
        (Choice([1, 0]), True),
    ],
)
def test_other_values_have_no_coordinate(space: Space, value: object) -> None:
    assert space.coordinate(value) is None


def test_a_list_is_the_tuple_of_its_parts() -> None:
    space = Choice([[64, 32], []])
    assert space.value(0) == (64, 32)
    assert space.coordinate([64, 32]) == space.coordinate((64, 32)) == 0
    assert space.coordinate(()) == 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Uniform(1.0, 1.0), r"Uniform\.low"),
        (lambda: Uniform(0.0, float("nan")), r"Uniform\.low"),
        (lambda: LogUniform(0.0, 1.0), r"LogUniform\.low must be above 0"),
        (lambda: Integers(5, 4), r"Integers\.low"),
        (lambda: Integers(0, 4, log=True), r"Integers\.low must be at least 1"),
        (lambda: Choice([]), r"Choice\.values"),
        (lambda: Choice([1, 1]), r"Choice\.values"),
        (lambda: Choice([object()]), r"Choice\.values may hold"),  # type: ignore[list-item]
    ],
)
def test_bad_spaces_are_refused_by_name(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make()


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"needs the package optuna: pip install -e"):
        Uniform(0.0, 1.0).distribution()
