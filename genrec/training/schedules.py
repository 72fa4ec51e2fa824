"""Learning-rate schedules: factors that depend on the step alone, so a resumed run needs no schedule state."""

from __future__ import annotations

import math
from typing import Protocol

from genrec.errors import ConfigError


class Schedule(Protocol):
    """The factor on the learning rate at `step` (from 0) of `total`."""

    def __call__(self, step: int, total: int) -> float:
        """A factor, usually between 0 and 1."""
        ...


class Constant:
    """The learning rate as it is, after a linear warm-up.

    Args:
        warmup: steps in which the factor rises from 1 / warmup to 1.
    """

    def __init__(self, warmup: int = 0) -> None:
        self.warmup = _steps("Constant", warmup)

    def __call__(self, step: int, total: int) -> float:
        """The factor at `step`."""
        return _warm(step, self.warmup)


class Cosine:
    """Linear warm-up, then half a cosine down to the floor (Loshchilov & Hutter, SGDR, eq. 5, one period).

    Args:
        warmup: steps of warm-up.
        floor: the factor at the end, in [0, 1].
    """

    def __init__(self, warmup: int = 0, floor: float = 0.0) -> None:
        if not 0 <= floor <= 1:
            raise ConfigError(f"Cosine.floor is {floor}; it must be between 0 and 1")
        self.warmup, self.floor = _steps("Cosine", warmup), floor

    def __call__(self, step: int, total: int) -> float:
        """The factor at `step`."""
        if step < self.warmup:
            return _warm(step, self.warmup)
        done = min(1.0, (step - self.warmup) / max(1, total - self.warmup))
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * done))


def _warm(step: int, warmup: int) -> float:
    return min(1.0, (step + 1) / max(1, warmup))


def _steps(owner: str, warmup: int) -> int:
    if warmup < 0:
        raise ConfigError(f"{owner}.warmup is {warmup}; it must be 0 or more steps")
    return warmup
