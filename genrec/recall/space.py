"""What a search may try: the values of one argument each, to bind in gin."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from genrec.errors import ConfigError

Value: TypeAlias = "bool | int | float | str | tuple[Value, ...] | None"
"""What gin and a table can hold: numbers, texts, None, and tuples of them."""


class Space(Protocol):
    """Values of one argument.

    A value has a coordinate, which is the number that `optuna` draws.
    """

    def distribution(self) -> Any:
        """Of coordinates, as optuna has it."""
        ...

    def value(self, coordinate: float) -> Value:
        """The value at a coordinate."""
        ...

    def coordinate(self, value: object) -> float | None:
        """The coordinate of a value; None outside the space."""
        ...


@dataclass(frozen=True)
class Uniform:
    """A number from low to high, with four significant digits.

    Attributes:
        low: smallest.
        high: largest.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range(self, self.low, self.high)

    def distribution(self) -> Any:
        """Even on a linear scale."""
        return distributions().FloatDistribution(self.low, self.high)

    def value(self, coordinate: float) -> Value:
        """The coordinate, rounded."""
        return _rounded(coordinate, self.low, self.high)

    def coordinate(self, value: object) -> float | None:
        """The value itself."""
        return _within(value, self.low, self.high)


@dataclass(frozen=True)
class LogUniform:
    """A number from low to high whose magnitude is searched, with four significant digits.

    Attributes:
        low: smallest, above 0.
        high: largest.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range(self, self.low, self.high)
        if not self.low > 0:
            raise ConfigError(f"LogUniform.low must be above 0, got {self.low}")

    def distribution(self) -> Any:
        """Even on a logarithmic scale."""
        return distributions().FloatDistribution(self.low, self.high, log=True)

    def value(self, coordinate: float) -> Value:
        """The coordinate, rounded."""
        return _rounded(coordinate, self.low, self.high)

    def coordinate(self, value: object) -> float | None:
        """The value itself."""
        return _within(value, self.low, self.high)


@dataclass(frozen=True)
class Integers:
    """A whole number from low to high.

    Attributes:
        low: smallest.
        high: largest.
        log: search its magnitude.
    """

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        _check_range(self, self.low, self.high)
        if self.log and self.low < 1:
            raise ConfigError(f"Integers.low must be at least 1 where Integers.log is True, got {self.low}")

    def distribution(self) -> Any:
        """Even on a linear or logarithmic scale."""
        return distributions().IntDistribution(self.low, self.high, log=self.log)

    def value(self, coordinate: float) -> Value:
        """The coordinate."""
        return int(coordinate)

    def coordinate(self, value: object) -> float | None:
        """The value itself."""
        found = _within(value, self.low, self.high)
        return None if found is None or not float(found).is_integer() else int(found)


@dataclass(frozen=True)
class Choice:
    """One of some values, which have no order.

    Attributes:
        values: at least one, distinct; numbers, texts, None, or tuples of them.
    """

    values: Sequence[Value]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(_plain(value) for value in self.values))
        names = [repr(value) for value in self.values]
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"Choice.values must be some distinct values, got {list(self.values)}")

    def distribution(self) -> Any:
        """Over places in `values`."""
        return distributions().CategoricalDistribution(range(len(self.values)))

    def value(self, coordinate: float) -> Value:
        """The value at that place."""
        return self.values[int(coordinate)]

    def coordinate(self, value: object) -> float | None:
        """The place of an equal value of the same type."""
        wanted = repr(tuple(value) if isinstance(value, list) else value)
        return next((place for place, one in enumerate(self.values) if repr(one) == wanted), None)


def distributions() -> Any:
    """`optuna.distributions`."""
    return optuna().distributions


def optuna() -> Any:
    """The package, quiet; ConfigError where it is not installed."""
    try:
        package = importlib.import_module("optuna")
    except ModuleNotFoundError as error:
        raise ConfigError('tuning needs the package optuna: pip install -e ".[tune]"') from error
    package.logging.set_verbosity(package.logging.WARNING)
    return package


def _check_range(owner: object, low: float, high: float) -> None:
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        name = type(owner).__name__
        raise ConfigError(f"{name}.low must be a number below {name}.high, got {low} and {high}")


def _rounded(number: float, low: float, high: float) -> float:
    return min(max(float(f"{number:.4g}"), float(low)), float(high))


def _within(value: object, low: float, high: float) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if number and low <= value <= high else None  # type: ignore[return-value,operator]


def _plain(value: object) -> Value:
    """The value with lists as tuples; ConfigError where it is an object."""
    if isinstance(value, list | tuple):
        return tuple(_plain(part) for part in value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ConfigError(f"Choice.values may hold numbers, texts, None and tuples of them, got {value!r}")
