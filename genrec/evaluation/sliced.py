"""Two or more methods on the targets of each kind of item, with paired intervals over users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genrec.errors import ConfigError
from genrec.evaluation.protocol import Evaluation, EvaluationSet
from genrec.evaluation.significance import Interval, paired_bootstrap
from genrec.evaluation.slices import RARE

SLICES: Mapping[str, tuple[int, int | None]] = {
    "all": (0, None),
    "cold": (0, 0),
    "rare": (1, RARE - 1),
    "known": (RARE, None),
}
"""Fewest and most training events of a target's item."""


@dataclass(frozen=True)
class SliceFigure:
    """One figure of one method on one slice, beside that of the reference.

    Attributes:
        part: `valid` or `test`.
        masking: `masked` or `unmasked`.
        method: whose figure it is.
        reference: the method it is compared with.
        slice: a name of `SLICES`.
        metric: `recall@10`, or `mrr@100`: the mean of one over the place, 0 below the list.
        targets: in the slice.
        users: with such a target; the figure is their mean.
        value: of the method.
        reference_value: of the reference.
        difference: method less reference, with its paired interval.
    """

    part: str
    masking: str
    method: str
    reference: str
    slice: str
    metric: str
    targets: int
    users: int
    value: float
    reference_value: float
    difference: Interval


def slice_figures(
    evaluations: Sequence[Evaluation], cases: EvaluationSet, ks: Sequence[int], n: int = 2000, seed: int = 0
) -> list[SliceFigure]:
    """Every method but the first, the reference, on every slice that has a target.

    Args:
        evaluations: of these cases under one masking, with lists at least as long as the largest cut-off.
        cases: who was judged.
        ks: cut-offs of recall; the largest is that of the mean reciprocal rank, too.
        n: resamples of the bootstrap.
        seed: of it.
    """
    first, *others = evaluations
    shortest = min(one.recommendations.k for one in evaluations)
    if not ks or not 1 <= min(ks) <= max(ks) <= shortest:
        raise ConfigError(f"slice_figures.ks must be cut-offs from 1 to {shortest}, got {list(ks)}")
    counts = cases.item_counts[cases.target_items]
    figures = []
    for name, (fewest, most) in SLICES.items():
        inside = (counts >= fewest) & (counts <= (counts.max() if most is None else most))
        if not inside.any():
            continue
        base = _per_user(first, cases, inside, ks)
        for other in others:
            for metric, values in _per_user(other, cases, inside, ks).items():
                figures.append(
                    SliceFigure(
                        cases.part,
                        other.masking,
                        other.method,
                        first.method,
                        name,
                        metric,
                        int(inside.sum()),
                        len(values),
                        float(values.mean()),
                        float(base[metric].mean()),
                        paired_bootstrap(values, base[metric], n, seed),
                    )
                )
    return figures


def _per_user(
    evaluation: Evaluation, cases: EvaluationSet, inside: NDArray[np.bool_], ks: Sequence[int]
) -> dict[str, NDArray[np.float64]]:
    """Means over a user's targets inside the slice, for each user that has one."""
    places = cases.target_places(evaluation.recommendations)[inside]
    _, user = np.unique(cases.target_rows[inside], return_inverse=True)
    found = {f"recall@{k}": (places <= k).astype(np.float64) for k in ks}
    found[f"mrr@{max(ks)}"] = np.where(places <= max(ks), 1.0 / places, 0.0)
    targets = np.bincount(user)
    return {name: np.bincount(user, values) / targets for name, values in found.items()}


def flat_slices(figures: Sequence[SliceFigure]) -> dict[str, float]:
    """`<part>/<method>/<masking>/<slice>/<metric>` and, with its bounds, `…/minus_<reference>`."""
    flat: dict[str, float] = {}
    for one in figures:
        end = f"{one.masking}/{one.slice}"
        flat[f"{one.part}/{one.reference}/{end}/{one.metric}"] = one.reference_value
        flat[f"{one.part}/{one.reference}/{end}/targets"] = one.targets
        flat[f"{one.part}/{one.method}/{end}/{one.metric}"] = one.value
        key = f"{one.part}/{one.method}/{end}/{one.metric}/minus_{one.reference}"
        flat |= {
            key: one.difference.mean,
            f"{key}/low": one.difference.low,
            f"{key}/high": one.difference.high,
        }
    return flat


def slice_table(figures: Sequence[SliceFigure]) -> str:
    """The figures for a terminal; a star marks differences whose interval leaves out zero."""
    lines = [
        f"{'targets':24s} {'metric':12s} {'method':20s} {'it':>7s} {'ref':>7s}   difference, 95 % interval"
    ]
    for one in figures:
        lowest, highest = SLICES[one.slice]
        events = f"{lowest}+" if highest is None else f"{lowest}–{highest}" if highest else "0"
        star = " *" if one.difference.excludes_zero else ""
        lines.append(
            f"{f'{one.slice} ({events} events): {one.targets}':24s} {one.metric:12s} {one.method:20s} {one.value:7.4f} "
            f"{one.reference_value:7.4f}   {one.difference.mean:+.4f} ({one.difference.low:+.4f} to "
            f"{one.difference.high:+.4f}){star}"
        )
    return "\n".join(lines)
