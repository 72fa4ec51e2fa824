"""Calibration: the step from logits to probabilities that hold, fitted on validation rows.

Named steps, so that an artifact can say which one it has; each is a few numbers, kept as JSON. All are monotonic: they
change probabilities, never the order (isotonic steps make ties, which the logits break).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from genrec.errors import ArtifactError, DataError

Floats = NDArray[np.floating]


class Calibration(Protocol):
    """Turns logits into probabilities."""

    def fit(self, logits: Floats, labels: NDArray[np.generic]) -> Self:
        """Learn from logits [R] and labels [R] (above one half is good); gives itself back."""
        ...

    def __call__(self, logits: Floats) -> NDArray[np.float64]:
        """Probabilities of logits, of the same shape."""
        ...

    @property
    def state(self) -> dict[str, Any]:
        """What was learned, as JSON; the class takes it as keyword arguments."""
        ...


class Plain:
    """The sigmoid of the logits: nothing to learn."""

    def fit(self, logits: Floats, labels: NDArray[np.generic]) -> Self:
        """Nothing to do."""
        return self

    def __call__(self, logits: Floats) -> NDArray[np.float64]:
        """1 / (1 + e^-z)."""
        return sigmoid(logits)

    @property
    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}


class Platt:
    """The sigmoid of slope * z + intercept (Platt 1999), which keeps the order.

    Fitted to the labels drawn towards one half by Platt's prior, so that rows a model separates without a mistake do
    not make it infinitely sure.

    Args:
        slope: learned by `fit`.
        intercept: learned by `fit`.
    """

    def __init__(self, slope: float = 1.0, intercept: float = 0.0) -> None:
        self.slope, self.intercept = slope, intercept

    def fit(self, logits: Floats, labels: NDArray[np.generic]) -> Self:
        """Maximum likelihood; DataError where the labels are all alike."""
        good = _both_classes(labels)
        n_good, n_other = int(good.sum()), int((~good).sum())
        share = np.where(good, (n_good + 1) / (n_good + 2), 1 / (n_other + 2))  # Platt's targets
        twice = np.concatenate([logits, logits]).astype(np.float64)[:, None]
        classes = np.repeat([1, 0], len(logits))
        model = LogisticRegression(C=1e12, tol=1e-8, max_iter=1000)
        model.fit(twice, classes, sample_weight=np.concatenate([share, 1 - share]))
        self.slope, self.intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
        return self

    def __call__(self, logits: Floats) -> NDArray[np.float64]:
        """σ(slope * z + intercept)."""
        return sigmoid(self.slope * logits.astype(np.float64) + self.intercept)

    @property
    def state(self) -> dict[str, Any]:
        """Slope and intercept."""
        return {"slope": self.slope, "intercept": self.intercept}


class Isotonic:
    """The non-decreasing function that fits best (Zadrozny & Elkan 2002), linear between its steps.

    Probabilities stay within 1 / (rows + 2) of 0 and 1: a block of rows of one class proves no certainty.

    Args:
        logits: of the steps, ascending; learned by `fit`.
        probabilities: of the steps; learned by `fit`.
    """

    def __init__(self, logits: list[float] | None = None, probabilities: list[float] | None = None) -> None:
        self.logits = np.asarray([0.0] if logits is None else logits)
        self.probabilities = np.asarray([0.5] if probabilities is None else probabilities)

    def fit(self, logits: Floats, labels: NDArray[np.generic]) -> Self:
        """Pool adjacent violators; DataError where the labels are all alike."""
        good = _both_classes(labels)
        model = IsotonicRegression(out_of_bounds="clip")
        model.fit(logits.astype(np.float64), good.astype(np.float64))
        least = 1 / (len(good) + 2)
        self.logits = np.asarray(model.X_thresholds_, dtype=np.float64)
        self.probabilities = np.clip(np.asarray(model.y_thresholds_, dtype=np.float64), least, 1 - least)
        return self

    def __call__(self, logits: Floats) -> NDArray[np.float64]:
        """By interpolation; beyond the fitted logits, what holds at their end."""
        return np.asarray(np.interp(logits.astype(np.float64), self.logits, self.probabilities))

    @property
    def state(self) -> dict[str, Any]:
        """The steps."""
        return {"logits": self.logits.tolist(), "probabilities": self.probabilities.tolist()}


CALIBRATIONS: Mapping[str, type[Calibration]] = {"none": Plain, "platt": Platt, "isotonic": Isotonic}
"""Steps by the name that artifacts keep."""


def calibration_name(step: Calibration) -> str:
    """The name of a step."""
    return next(name for name, kind in CALIBRATIONS.items() if type(step) is kind)


def read_calibration(name: str, state: Mapping[str, Any]) -> Calibration:
    """The step that an artifact has.

    Raises:
        ArtifactError: this version of the code does not know it.
    """
    try:
        return CALIBRATIONS[name](**state)
    except (KeyError, TypeError) as error:
        raise ArtifactError(
            f"calibration {name!r} is none of {', '.join(CALIBRATIONS)} as this version of the code knows them; train "
            "the ranker again"
        ) from error


def sigmoid(logits: Floats) -> NDArray[np.float64]:
    """1 / (1 + e^-z), without overflow."""
    z = logits.astype(np.float64)
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + small), small / (1 + small))


def _both_classes(labels: NDArray[np.generic]) -> NDArray[np.bool_]:
    good: NDArray[np.bool_] = np.asarray(labels) > 0.5
    if good.all() or not good.any():
        raise DataError(
            f"calibration needs good rows and others, and all {len(good)} are of one kind; give it more validation rows"
        )
    return good
