"""What every section of the report needs: cases, evaluations, and one name and colour per method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genrec.evaluation.comparison import Comparison
from genrec.evaluation.page import Key
from genrec.evaluation.plots import Series
from genrec.evaluation.protocol import Evaluation, EvaluationSet
from genrec.evaluation.svg import N_COLOURS

NAMES = {
    "recall": "Recall",
    "ndcg": "NDCG",
    "hitrate": "HitRate",
    "precision": "Precision",
    "f1": "F1",
    "mrr": "MRR",
    "coverage": "Coverage",
    "gini": "Gini",
    "novelty": "Novelty",
    "ild": "Diversity",
}
"""Names of metrics in print."""


@dataclass(frozen=True)
class View:
    """What every section needs: the cases, the comparison, the headline cut-off, and names in print."""

    cases: EvaluationSet
    comparison: Comparison
    k: int
    labels: Mapping[str, str]

    @property
    def masked(self) -> bool:
        """The masking of the headline: masked where there is a choice."""
        return self.comparison.maskings[0]

    @property
    def reference(self) -> Evaluation:
        """The method that others are compared with, under the headline's masking."""
        return next(e for e in self.shown if e.method == self.comparison.reference)

    @property
    def shown(self) -> tuple[Evaluation, ...]:
        """Evaluations under the headline's masking."""
        return self.comparison.of(self.masked)

    def name(self, method: str) -> str:
        """A method's name in print."""
        return self.labels.get(method, method)

    def colour(self, method: str) -> int:
        """A method's colour, the same in every plot; beyond the palette all are the last grey."""
        return min(self.comparison.methods.index(method), N_COLOURS - 1)

    def dashed(self, method: str) -> bool:
        """Whether the lines are dashed: the greys, which are hard to tell apart."""
        return self.comparison.methods.index(method) >= N_COLOURS - 2

    def series(self, e: Evaluation, x: Sequence[float], y: Sequence[float]) -> Series:
        """Points of one method."""
        return Series(self.name(e.method), x, y, self.colour(e.method), self.dashed(e.method))

    def keys(self, evaluations: Sequence[Evaluation]) -> tuple[Key, ...]:
        """A legend of methods."""
        return tuple(
            Key(self.name(e.method), self.colour(e.method), self.dashed(e.method)) for e in evaluations
        )


def masking_name(masked: bool) -> str:
    """How a masking is named in print."""
    return "history masked" if masked else "history not masked"


def signed(value: float) -> str:
    """A difference with its sign, four digits after the point."""
    return f"{value:+.4f}".replace("-", "−")
