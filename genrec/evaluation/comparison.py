"""All methods of one part side by side: intervals, differences to a reference, and the files of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genrec.artifacts import atomic_path, write_json
from genrec.data.splits import Part
from genrec.errors import ConfigError
from genrec.evaluation.protocol import Evaluation
from genrec.evaluation.significance import Interval, intervals, resampled_means

Key = tuple[str, bool]
"""(method, masked)."""


@dataclass(frozen=True)
class Comparison:
    """Evaluations of one part on the same users.

    Attributes:
        part: `valid` or `test`.
        evaluations: in the order of the tables.
        reference: the method that others are compared with.
        level: coverage of the intervals.
        intervals: (method, masked) -> per-user metric such as `ndcg@10` -> interval of its mean.
        differences: the same for method minus reference under the same masking; the reference has none.
    """

    part: Part
    evaluations: tuple[Evaluation, ...]
    reference: str
    level: float
    intervals: dict[Key, dict[str, Interval]]
    differences: dict[Key, dict[str, Interval]]

    @property
    def methods(self) -> tuple[str, ...]:
        """Distinct methods, in order."""
        return tuple(dict.fromkeys(e.method for e in self.evaluations))

    @property
    def maskings(self) -> tuple[bool, ...]:
        """The maskings that occur, masked first."""
        return tuple(sorted({e.masked for e in self.evaluations}, reverse=True))

    @property
    def ks(self) -> tuple[int, ...]:
        """Cut-offs, ascending."""
        names = self.evaluations[0].per_user
        return tuple(int(name.partition("@")[2]) for name in names if name.startswith("recall@"))

    def of(self, masked: bool) -> tuple[Evaluation, ...]:
        """Evaluations under one masking, in order."""
        return tuple(e for e in self.evaluations if e.masked == masked)

    def get(self, method: str, masked: bool) -> Evaluation | None:
        """One evaluation, or None."""
        return next((e for e in self.of(masked) if e.method == method), None)


def compare(
    evaluations: Sequence[Evaluation],
    part: Part,
    *,
    reference: str = "generative",
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Comparison:
    """Bootstrap every per-user metric of every method, all with the same draws of users.

    Raises:
        ConfigError: two evaluations share method and masking, or the reference is missing under a masking.
        ValueError: the evaluations are of different users.
    """
    keys = [(e.method, e.masked) for e in evaluations]
    if len(set(keys)) != len(keys):
        raise ConfigError(f"compare.evaluations holds a method twice under one masking: {sorted(keys)}")
    for masked in {e.masked for e in evaluations} or {True}:
        if (reference, masked) not in keys:
            known = sorted({e.method for e in evaluations if e.masked == masked})
            raise ConfigError(f"compare.reference is {reference!r}, but the methods judged are {known}")
    users = evaluations[0].recommendations.users
    if any(not np.array_equal(e.recommendations.users, users) for e in evaluations):
        raise ValueError("evaluations of different users cannot be compared in pairs")
    own: dict[Key, dict[str, Interval]] = {}
    apart: dict[Key, dict[str, Interval]] = {}
    for masked in {e.masked for e in evaluations}:
        group = sorted((e for e in evaluations if e.masked == masked), key=lambda e: e.method != reference)
        base: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        for e in group:  # the reference comes first
            values = np.stack(list(e.per_user.values()), axis=1)  # [U, M]
            centre, means = values.mean(axis=0), resampled_means(values, n, seed)
            own[e.method, masked] = dict(zip(e.per_user, intervals(centre, means, level), strict=True))
            if base is None:
                base = centre, means
            else:
                found = intervals(centre - base[0], means - base[1], level)
                apart[e.method, masked] = dict(zip(e.per_user, found, strict=True))
    return Comparison(part, tuple(evaluations), reference, level, own, apart)


def flat_metrics(comparison: Comparison) -> dict[str, float]:
    """The numbers of one part under flat keys.

    `<part>/<method>/<masking>/<metric>@<k>` with `…/low` and `…/high`; `…/minus_<reference>` with `…/low` and
    `…/high` for the paired difference; `time/<part>/<method>/<masking>/seconds` and `…/users_per_second`.
    """
    flat: dict[str, float] = {}
    for e in comparison.evaluations:
        where = f"{comparison.part}/{e.method}/{e.masking}"
        flat |= {f"{where}/{name}": value for name, value in e.summary.items()}
        for name, interval in comparison.intervals[e.method, e.masked].items():
            flat[f"{where}/{name}/low"] = interval.low
            flat[f"{where}/{name}/high"] = interval.high
        for name, interval in comparison.differences.get((e.method, e.masked), {}).items():
            key = f"{where}/{name}/minus_{comparison.reference}"
            flat |= {key: interval.mean, f"{key}/low": interval.low, f"{key}/high": interval.high}
        flat[f"time/{where}/seconds"] = e.seconds
        flat[f"time/{where}/users_per_second"] = e.users_per_second
    return flat


def write_metrics(folder: Path, flat: Mapping[str, float]) -> Path:
    """Write `metrics.json`, one flat object of numbers; undefined figures (NaN, infinite) are left out.

    JSON has no NaN, and a reader should find a missing key rather than a string.
    """
    path = folder / "metrics.json"
    write_json(path, {name: float(value) for name, value in flat.items() if math.isfinite(value)})
    return path


def write_table(folder: Path, comparisons: Sequence[Comparison]) -> Path:
    """Write `metrics.csv`: one row per part, method and masking, metrics as columns."""
    rows = [
        {"part": c.part, "method": e.method, "masking": e.masking, **e.summary}
        | {"seconds": e.seconds, "users_per_second": e.users_per_second}
        for c in comparisons
        for e in c.evaluations
    ]
    path = folder / "metrics.csv"
    with atomic_path(path) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, float_format="%.6g")
    return path


def text_table(comparison: Comparison, k: int) -> str:
    """The main figures at one cut-off for a terminal, best NDCG first."""
    lines = []
    for masked in comparison.maskings:
        name = "history masked" if masked else "history not masked"
        lines.append(
            f"{comparison.part}, {name:<18} {'recall@' + str(k):>10} {'ndcg@' + str(k):>9} {'interval':>15}"
        )
        for e in sorted(comparison.of(masked), key=lambda e: -e.summary[f"ndcg@{k}"]):
            own = comparison.intervals[e.method, masked][f"ndcg@{k}"]
            lines.append(
                f"  {e.method:<22} {e.summary[f'recall@{k}']:>10.4f} {e.summary[f'ndcg@{k}']:>9.4f}"
                f" {own.low:>7.4f}-{own.high:.4f}"
            )
    return "\n".join(lines)
