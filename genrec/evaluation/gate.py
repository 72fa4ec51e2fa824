"""The quality gate: figures of one method against the least they must be, before anything is shipped."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genrec.errors import ConfigError, DataError

THRESHOLDS: Mapping[str, float] = {
    "precision@10": 0.01,
    "hitrate@10": 0.10,
    "coverage@10": 0.05,
    "users": 10,
}
"""What every method must reach unless told otherwise; `users` is the number of users judged."""


@dataclass(frozen=True)
class Check:
    """One figure against its threshold.

    Attributes:
        key: of the figure in `metrics.json`.
        value: the figure; None where there is none, NaN where it is undefined.
        least: what it must be at least.
    """

    key: str
    value: float | None
    least: float

    @property
    def passed(self) -> bool:
        """Whether the figure is there, is a number, and reaches the threshold."""
        return self.value is not None and math.isfinite(self.value) and self.value >= self.least

    @property
    def verdict(self) -> str:
        """What came of it, in words."""
        if self.value is None:
            return f"FAILED: {self.key} is missing; evaluate again so that it is measured"
        if not math.isfinite(self.value):
            return f"FAILED: {self.key} is {self.value}, so there was nothing to measure"
        return "passed" if self.passed else f"FAILED: {self.key} is below {self.least:g}"


def read_figures(path: Path) -> dict[str, float]:
    """The flat object of numbers that a measuring script wrote.

    Raises:
        DataError: there is no such file, or it is something else.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"{path} does not exist; experiments/evaluate_recall.py writes it, or bind quality_gate.metrics_path"
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error}); evaluate again") from error
    if not isinstance(found, dict):
        raise DataError(f"{path} is not an object of figures; it should be a metrics.json")
    wrong = [
        key for key, value in found.items() if isinstance(value, bool) or not isinstance(value, int | float)
    ]
    if wrong:
        raise DataError(f"{path} has something other than a number for {wrong[0]!r}; evaluate again")
    return {key: float(value) for key, value in found.items()}


def check_figures(
    figures: Mapping[str, float], part: str, method: str, masking: str, thresholds: Mapping[str, float]
) -> list[Check]:
    """One check for each threshold, in their order.

    Args:
        figures: from `read_figures`, with keys `<part>/<method>/<masking>/<metric>`.
        part: `valid` or `test`.
        method: the method that is judged.
        masking: `masked` or `unmasked`.
        thresholds: the least value by metric, such as `{'ndcg@10': 0.05}`.

    Raises:
        ConfigError: there is no threshold, one is not a number, or the method was not judged at all.
    """
    if not thresholds:
        raise ConfigError("quality_gate.thresholds is empty, so nothing could fail; name at least one metric")
    for name, least in thresholds.items():
        if not math.isfinite(least):
            raise ConfigError(f"quality_gate.thresholds must be numbers, got {least} for {name!r}")
    where = f"{part}/{method}/{masking}"
    if not any(key.startswith(f"{where}/") for key in figures):
        raise ConfigError(
            f"there are no figures of {where}; quality_gate.part, .method and .masking can be {_judged(figures)}"
        )
    return [
        Check(f"{where}/{name}", figures.get(f"{where}/{name}"), least) for name, least in thresholds.items()
    ]


def text_table(checks: Sequence[Check]) -> str:
    """All checks for a terminal."""
    width = max(len(one.key) for one in checks)
    lines = [f"{'figure':<{width}} {'value':>10} {'at least':>10}"]
    for one in checks:
        value = "–" if one.value is None else f"{one.value:.6g}"
        lines.append(f"{one.key:<{width}} {value:>10} {one.least:>10g}  {one.verdict}")
    return "\n".join(lines)


def _judged(figures: Mapping[str, float]) -> str:
    """The `<part>/<method>/<masking>` that occur."""
    starts = (key.split("/") for key in figures if key.startswith(("valid/", "test/")))
    found = dict.fromkeys("/".join(one[:3]) for one in starts if len(one) > 3)
    return ", ".join(found) or "nothing in this file"
