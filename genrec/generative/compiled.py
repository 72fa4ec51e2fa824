"""A scorer that runs through `torch.compile`, for long series of searches.

Compilation costs about a minute and saves launches of small operations: on a GPU most of them, on a CPU, where the
products of matrices take the time, little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genrec.generative.base import NodeScorer

BACKEND = "inductor"


@dataclass(frozen=True)
class Steps:
    """The compiled questions; kept from search to search, or each would be compiled anew."""

    start: Callable[[NodeScorer], Tensor]
    advance: Callable[[NodeScorer, int, Tensor, Tensor], Tensor]

    @classmethod
    def compiled(cls) -> Steps:
        """Compiled on first use, once for every level; sizes of batches and beams stay free."""
        return cls(
            torch.compile(_start, dynamic=True, backend=BACKEND),
            torch.compile(_advance, dynamic=True, backend=BACKEND),
        )


@dataclass(frozen=True)
class CompiledScorer:
    """Another scorer's answers, found by compiled code."""

    scorer: NodeScorer
    steps: Steps

    def start(self) -> Tensor:
        """As the scorer."""
        return self.steps.start(self.scorer)

    def advance(self, level: int, parent: Tensor, node: Tensor) -> Tensor:
        """As the scorer."""
        return self.steps.advance(self.scorer, level, parent, node)

    def select(self, rows: Tensor) -> CompiledScorer:
        """As the scorer."""
        return CompiledScorer(self.scorer.select(rows), self.steps)


def _start(scorer: NodeScorer) -> Tensor:
    return scorer.start()


def _advance(scorer: NodeScorer, level: int, parent: Tensor, node: Tensor) -> Tensor:
    return scorer.advance(level, parent, node)
