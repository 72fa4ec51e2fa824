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
        self.warmup, self.floor = _steps("Cosine", warmup), _share("Cosine.floor", floor)

    def __call__(self, step: int, total: int) -> float:
        """The factor at `step`."""
        if step < self.warmup:
            return _warm(step, self.warmup)
        done = min(1.0, (step - self.warmup) / max(1, total - self.warmup))
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * done))


class Linear:
    """Linear warm-up, then a straight line down to the floor at the end.

    Args:
        warmup: steps of warm-up.
        floor: the factor at the end, in [0, 1].
    """

    def __init__(self, warmup: int = 0, floor: float = 0.0) -> None:
        self.warmup, self.floor = _steps("Linear", warmup), _share("Linear.floor", floor)

    def __call__(self, step: int, total: int) -> float:
        """The factor at `step`."""
        if step < self.warmup:
            return _warm(step, self.warmup)
        done = min(1.0, (step - self.warmup) / max(1, total - self.warmup))
        return 1 - (1 - self.floor) * done


class InverseSquareRoot:
    """Linear warm-up, then `sqrt(warmup / step)`: it needs no end (Vaswani et al. 2017, §5.3).

    Args:
        warmup: steps of warm-up, 1 or more.
    """

    def __init__(self, warmup: int) -> None:
        if warmup < 1:
            raise ConfigError(f"InverseSquareRoot.warmup is {warmup}; it must be 1 or more steps")
        self.warmup = warmup

    def __call__(self, step: int, total: int) -> float:
        """The factor at `step`."""
        return min((step + 1) / self.warmup, math.sqrt(self.warmup / (step + 1)))


class WarmupStableDecay:
    """Linear warm-up, a long plateau, and a straight line to the floor (Hu et al. 2024, MiniCPM, §4.2).

    Args:
        warmup: steps of warm-up.
        decay: share of the run, at its end, in which the factor falls, in [0, 1].
        floor: the factor at the end, in [0, 1].
    """

    def __init__(self, warmup: int = 0, decay: float = 0.2, floor: float = 0.0) -> None:
        self.warmup, self.decay = (
            _steps("WarmupStableDecay", warmup),
            _share("WarmupStableDecay.decay", decay),
        )
        self.floor = _share("WarmupStableDecay.floor", floor)

    def __call__(self, step: int, total: int) -> float:
        """The factor at `step`."""
        left = max(0.0, (total - step) / max(1.0, self.decay * total))
        return min(_warm(step, self.warmup), self.floor + (1 - self.floor) * min(1.0, left))


def _warm(step: int, warmup: int) -> float:
    return min(1.0, (step + 1) / max(1, warmup))


def _steps(owner: str, warmup: int) -> int:
    if warmup < 0:
        raise ConfigError(f"{owner}.warmup is {warmup}; it must be 0 or more steps")
    return warmup


def _share(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise ConfigError(f"{name} is {value}; it must be between 0 and 1")
    return value
