"""What a tokenizer is: features in, unique codes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from genrec.tokenizer.collisions import CollisionRule


@dataclass(frozen=True)
class Tokenized:
    """Codes of a catalogue and how they came about.

    Attributes:
        codes: int32 [N, L], distinct rows.
        sizes: codebook size of each level.
        raw: int32 [N, L'] nearest codes before collision handling; None where codes are not learned.
        error_by_depth: share of the features' variance that is left after 0, 1, .. L' levels; empty where codes
            are not learned.
    """

    codes: NDArray[np.int32]
    sizes: tuple[int, ...]
    raw: NDArray[np.int32] | None = None
    error_by_depth: tuple[float, ...] = ()


class Tokenizer(Protocol):
    """Assigns codes to every item."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codebook size of each level."""
        ...

    def tokenize(self, vectors: Tensor, rule: CollisionRule) -> Tokenized:
        """Features float32 [N, D] -> codes."""
        ...

    def weights(self) -> Mapping[str, Tensor]:
        """What to store so that new items can be tokenized the same way."""
        ...
