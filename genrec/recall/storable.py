"""What a recaller must show of itself to be stored, and a walk over recallers inside recallers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from genrec.data.histories import Histories
from genrec.errors import ConfigError


class Storable:
    """Base of recallers that `genrec.recall.store` can save and load.

    A subclass keeps every argument of its constructor under the argument's name. Loading calls the constructor with
    these arguments, gives back what is listed here, recallers inside first, and ends with `restored`.
    """

    learned: ClassVar[tuple[str, ...]] = ()
    """Attributes that `fit` sets: arrays, `csr_array`s, mappings of tensors, or plain values."""
    parts: ClassVar[tuple[str, ...]] = ()
    """Attributes that hold recallers after the constructor: one, a sequence of them, or a mapping to them."""
    histories: Histories

    def remember(self, histories: Histories) -> None:
        """Take the histories to recommend from."""
        self.histories = histories

    def restored(self) -> None:
        """Make what follows from the histories and the learned attributes, after `fit` and after loading."""

    def reads(self) -> dict[str, dict[str, str]]:
        """The artifacts that it reads beside the data, by name, as `genrec.artifacts.input_ref` gives them."""
        return {}


def walk(recaller: Storable, path: str = "") -> Iterator[tuple[str, Storable]]:
    """A recaller and those inside it, innermost first, each with its place: "", "cf", "channels.0", "channels.0.cf".

    Raises:
        ConfigError: a part cannot be stored.
    """
    for name in recaller.parts:
        held = getattr(recaller, name)
        numbered = isinstance(held, Mapping | Sequence)
        inside = list(held.values() if isinstance(held, Mapping) else held) if numbered else [held]
        for number, one in enumerate(inside):
            if one is None:
                continue
            if not isinstance(one, Storable):
                raise ConfigError(
                    f"{type(recaller).__name__}.{name} holds a {type(one).__name__}, which cannot be stored; use a "
                    "recaller that is derived from ScoringRecaller"
                )
            below = f"{name}.{number}" if numbered else name
            yield from walk(one, f"{path}.{below}".lstrip("."))
    yield path, recaller
