"""Calibration steps on logits whose true probabilities are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression

from genrec.errors import ArtifactError, DataError
from genrec.ranking.calibration import (
    CALIBRATIONS,
    Isotonic,
    Plain,
    Platt,
    calibration_name,
    read_calibration,
    sigmoid,
)


def drawn(slope: float, intercept: float, n: int = 20_000) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits, and labels that follow σ(slope z + intercept)."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, n)
    return logits.astype(np.float32), (rng.random(n) < sigmoid(slope * logits + intercept)).astype(np.float32)


def test_platt_finds_slope_and_intercept() -> None:
    step = Platt().fit(*drawn(0.5, -1.0))
    assert (step.slope, step.intercept) == (pytest.approx(0.5, abs=0.02), pytest.approx(-1.0, abs=0.04))


def test_platt_is_scikit_learns() -> None:
    logits, labels = drawn(0.5, -1.0, n=300)
    ours, theirs = Platt().fit(logits, labels), _SigmoidCalibration().fit(logits, labels)
    assert ours(logits) == pytest.approx(theirs.predict(logits), abs=1e-5)


def test_platt_is_not_infinitely_sure_of_rows_that_it_separates() -> None:
    logits = np.array([-3.0, -2.0, 2.0, 3.0])
    step = Platt().fit(logits, np.array([0, 0, 1, 1]))
    assert 0 < step(logits)[0] < 0.5 < step(logits)[-1] < 1


def test_isotonic_is_scikit_learns_away_from_certainty() -> None:
    logits, labels = drawn(0.5, -1.0, n=300)
    step = Isotonic().fit(logits, labels)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(logits.astype(np.float64), labels)
    assert step(logits) == pytest.approx(np.clip(theirs.predict(logits), 1 / 302, 301 / 302), abs=1e-6)
    between = np.linspace(-2, 2, 50)  # where no step is certain
    assert step(between) == pytest.approx(theirs.predict(between), abs=1e-6)
    assert step(np.array([-20.0, 20.0])) == pytest.approx([1 / 302, 301 / 302])


@pytest.mark.parametrize("name", CALIBRATIONS)
def test_every_step_keeps_the_order_and_survives_json(name: str) -> None:
    logits, labels = drawn(0.5, -1.0, n=500)
    step = CALIBRATIONS[name]().fit(logits, labels)
    ordered = step(np.sort(logits))
    assert (np.diff(ordered) >= 0).all()
    assert 0 < ordered[0] < ordered[-1] < 1
    again = read_calibration(calibration_name(step), json.loads(json.dumps(step.state)))
    assert np.array_equal(again(logits), step(logits))


@pytest.mark.parametrize("name", ["platt", "isotonic"])
def test_a_step_mends_what_a_wrong_scale_did(name: str) -> None:
    logits, labels = drawn(0.5, -1.0)
    half = len(logits) // 2
    step = CALIBRATIONS[name]().fit(logits[:half], labels[:half])
    true = sigmoid(0.5 * logits[half:] - 1.0)
    assert np.abs(step(logits[half:]) - true).mean() < 0.02 < np.abs(Plain()(logits[half:]) - true).mean()


@pytest.mark.parametrize("name", ["platt", "isotonic"])
def test_labels_that_are_all_alike_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="all 3 are of one kind"):
        CALIBRATIONS[name]().fit(np.zeros(3), np.ones(3))


def test_an_unknown_step_is_refused() -> None:
    for name, state in (("magic", {}), ("platt", {"curve": 1.0})):
        with pytest.raises(ArtifactError, match="none, platt, isotonic"):
            read_calibration(name, state)


def test_the_sigmoid_does_not_overflow() -> None:
    assert sigmoid(np.array([-1e4, 0.0, 1e4])) == pytest.approx([0, 0.5, 1])
