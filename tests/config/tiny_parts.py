"""What the tiny configurations of these tests configure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from genrec.errors import ConfigError

LIMIT = 3


class Encoder(Protocol):
    """Anything with a width."""

    width: int


class Mlp:
    """An encoder."""

    def __init__(self, width: int, hidden: Sequence[int] = (1,), rate: float = 0.5) -> None:
        if width < 1:
            raise ConfigError(f"Mlp.width is {width}; it must be 1 or more")
        self.width, self.hidden, self.rate = width, hidden, rate


class Deep(Mlp):
    """An Mlp that is one."""


@dataclass(frozen=True)
class Schedule:
    """A dataclass."""

    warmup: int = 0
    kind: Literal["flat", "cosine"] = "flat"


class Pair:
    """Holds two others."""

    def __init__(self, parts: list[Mlp], schedule: Schedule | None = None) -> None:
        self.parts, self.schedule = parts, schedule


def two() -> int:
    """Two."""
    return 2


def chain(encoder: Encoder) -> Encoder:
    """An encoder of an encoder."""
    return encoder
