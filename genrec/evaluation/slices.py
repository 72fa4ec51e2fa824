"""Where a method wins: recall by cut-off, by popularity of the target, by length of the history, on cold items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genrec.evaluation.protocol import Evaluation, EvaluationSet


@dataclass(frozen=True)
class Bins:
    """Cases sorted into ranges of a count.

    Attributes:
        labels: of each bin, such as `0`, `1–4`, `5–19`, `≥ 20`.
        sizes: cases per bin.
        of: bin of each case.
    """

    labels: tuple[str, ...]
    sizes: NDArray[np.int64]
    of: NDArray[np.int64]

    def means(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Mean of a figure per case in each bin."""
        totals = np.bincount(self.of, weights=values, minlength=len(self.labels))
        return totals / np.maximum(self.sizes, 1)


def count_bins(values: NDArray[np.integer], n: int = 6) -> Bins:
    """Bins of about equally many cases; 0, if it occurs, is a bin of its own (it is the cold case).

    Args:
        values: [M] counts, at least one of them, none negative.
        n: bins to aim at; fewer where counts repeat.
    """
    positive = np.sort(values[values > 0])
    inner = positive[(np.arange(1, n) * len(positive)) // n] if len(positive) else positive
    starts = np.unique(np.concatenate([positive[:1], inner]))
    if (values == 0).any():
        starts = np.concatenate([[0, 1], starts[1:]])[: 1 + len(starts)]
    of = np.searchsorted(starts, values, side="right") - 1
    stops = [*(int(start) - 1 for start in starts[1:]), None]
    labels = tuple(_range_label(int(a), b) for a, b in zip(starts, stops, strict=True))
    return Bins(labels, np.bincount(of, minlength=len(starts)), of)


def _range_label(first: int, last: int | None) -> str:
    if last is None:
        return f"≥ {first}" if first else "0"
    return str(first) if first == last else f"{first}–{last}"


def recall_curve(evaluation: Evaluation, cases: EvaluationSet) -> NDArray[np.float64]:
    """Recall at every cut-off 1..k, mean over users: float64 [k]."""
    found = np.cumsum(cases.hits(evaluation.recommendations), axis=1)  # [U, k]
    curve: NDArray[np.float64] = (found / cases.n_targets[:, None]).mean(axis=0)
    return curve


def targets_found(evaluation: Evaluation, cases: EvaluationSet, k: int) -> NDArray[np.bool_]:
    """Which targets are among the first k of their user's list: bool [M], in the order of the set."""
    return cases.target_places(evaluation.recommendations) <= k


def popularity_bins(cases: EvaluationSet, n: int = 6) -> Bins:
    """Targets by the number of their item's training events."""
    return count_bins(cases.item_counts[cases.target_items], n)


def history_bins(cases: EvaluationSet, n: int = 6) -> Bins:
    """Users by the length of their history."""
    return count_bins(cases.history.lengths[cases.users], n)


@dataclass(frozen=True)
class ColdItems:
    """What a method does with items that have no training event.

    Attributes:
        targets: targets on such items.
        found: how many of them are in the first k.
        shown: share of all recommended places that go to such items.
    """

    targets: int
    found: int
    shown: float


def cold_items(evaluation: Evaluation, cases: EvaluationSet, k: int) -> ColdItems:
    """Cold targets found, and places given to cold items, in the first k."""
    cold_target = cases.item_counts[cases.target_items] == 0
    shown = evaluation.recommendations.items[:, :k]
    shown = shown[shown >= 0]
    share = float((cases.item_counts[shown] == 0).mean()) if len(shown) else 0.0
    found = int((targets_found(evaluation, cases, k) & cold_target).sum())
    return ColdItems(int(cold_target.sum()), found, share)


RARE = 10
"""Items with fewer training events, but at least one, are rare."""


def by_familiarity(evaluation: Evaluation, cases: EvaluationSet, k: int) -> dict[str, float]:
    """Recall at k on targets that are `cold` (no training event) and `rare` (1 to 9); none is no figure."""
    counts = cases.item_counts[cases.target_items]
    found = targets_found(evaluation, cases, k)
    groups = {"cold": counts == 0, "rare": (counts > 0) & (counts < RARE)}
    return {f"{name}/recall@{k}": float(found[group].mean()) for name, group in groups.items() if group.any()}


@dataclass(frozen=True)
class Overlap:
    """How many targets two methods find in their first k."""

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def either(self) -> float:
        """Recall of an oracle that knows whom to believe."""
        found = self.both + self.only_first + self.only_second
        return found / max(found + self.neither, 1)


def overlap(first: Evaluation, second: Evaluation, cases: EvaluationSet, k: int) -> Overlap:
    """Compare what two methods find in their first k, target by target."""
    a, b = targets_found(first, cases, k), targets_found(second, cases, k)
    return Overlap(int((a & b).sum()), int((a & ~b).sum()), int((b & ~a).sum()), int((~a & ~b).sum()))
