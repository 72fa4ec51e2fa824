"""What a tokenizer is: features in, unique codes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from genrec.errors import ArtifactError
from genrec.tokenizer.collisions import CollisionRule
from genrec.tokenizer.space import CodeSpace


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

    @classmethod
    def of(cls, space: CodeSpace, rule: CollisionRule) -> Self:
        """The items of a fitted quantiser, made unique by a rule."""
        raw = space.nearest()
        codes, sizes = rule(space, raw)
        return cls(codes, sizes, raw, space.error_by_depth(raw))


class Tokenizer(Protocol):
    """Assigns codes to every item."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codebook size of each level."""
        ...

    def tokenize(self, vectors: Tensor, rule: CollisionRule) -> Tokenized:
        """Features float32 [N, D] of the whole catalogue -> codes; learns from them what is not yet learned."""
        ...

    def weights(self) -> Mapping[str, Tensor]:
        """What to store so that new items can be tokenized the same way."""
        ...

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Become the tokenizer that gave these weights; ArtifactError where they are of another kind or size."""
        ...

    def space(self, vectors: Tensor) -> CodeSpace:
        """Features float32 [M, D] of any items among the codes as learned; nothing is learned from them."""
        ...


def stored_weights(weights: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int | None]]) -> list[Tensor]:
    """The named tensors, in order; ArtifactError unless each is there with its shape (None is any length)."""
    found = []
    for name, shape in shapes.items():
        tensor = weights.get(name)
        if (
            tensor is None
            or len(tensor.shape) != len(shape)
            or any(want not in (None, have) for want, have in zip(shape, tensor.shape, strict=True))
        ):
            have = "nothing" if tensor is None else list(tensor.shape)
            raise ArtifactError(
                f"the stored tokenizer has {have} as {name} where {list(shape)} is needed; bind the tokenizer, the "
                "codebook size and the number of levels that it was made with"
            )
        found.append(tensor)
    return found
