"""Items among the codes of a quantiser: the one view of it that collision rules and new items need."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int32]
Rows = NDArray[np.int64]


class CodeSpace(Protocol):
    """N items seen by a fitted quantiser of L levels. Nothing here holds a number per item and code."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codebook size of each level."""
        ...

    def nearest(self) -> Codes:
        """The codes that the quantiser prefers, level by level: int32 [N, L]; items may share them."""
        ...

    def costs(self, level: int, rows: Rows, codes: Codes) -> NDArray[np.float32]:
        """What each code of a level would cost some items, in squared distance.

        Args:
            level: of the codes, from 0.
            rows: int64 [M], the items.
            codes: int32 [M, >= level], their codes of the levels before.

        Returns:
            float32 [M, K_level], finite, the caller's to change; M x K numbers are held, so ask in blocks.
        """
        ...

    def error_by_depth(self, codes: Codes) -> tuple[float, ...]:
        """Share of the features' variance that codes [N, L] leave after 0, 1, .. L levels; empty if not learned."""
        ...
