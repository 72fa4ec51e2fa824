"""Metrics of scored rows (user, item, label): AUC, AUC within users, log-loss, calibration, and lists of a user's rows.

What is a mean over users comes user by user, so that users can be resampled. Rows with equal scores are in no order:
AUC counts them half, lists break the tie by a shuffle with a seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genrec.errors import ConfigError

Floats = NDArray[np.float64]

SMALLEST = 1e-7
"""Probabilities are kept this far from 0 and 1 in logarithms: one sure mistake would cost infinitely much."""


@dataclass(frozen=True)
class ByUser:
    """A figure of each user, and how much each counts in the mean.

    Attributes:
        users: int64 [U], those of whom the figure is defined, ascending.
        values: float64 [U].
        weights: float64 [U].
    """

    users: NDArray[np.int64]
    values: Floats
    weights: Floats

    @property
    def mean(self) -> float:
        """The weighted mean over users; NaN where there are none."""
        total = self.weights.sum()
        return float(self.values @ self.weights / total) if total > 0 else float("nan")


def auc(
    labels: NDArray[np.generic], scores: NDArray[np.floating], weights: NDArray[np.floating] | None = None
) -> float:
    """Probability that a good row is scored above another one, ties counting half (Hanley & McNeil 1982).

    Args:
        labels: [R], above one half is good.
        scores: [R].
        weights: [R], how often each row counts; None is once.

    Returns:
        NaN where all rows are good, or none is.
    """
    order, place = value_places(scores)
    weight = np.ones(len(scores)) if weights is None else weights.astype(np.float64)[order]
    return auc_of_places(np.asarray(labels)[order] > 0.5, place, weight)


def value_places(scores: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The order of rows by ascending score, and in that order the number of the distinct score, from 0: [R] each."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    return order, np.concatenate([[0], np.cumsum(ordered[1:] != ordered[:-1])])[: len(scores)]


def auc_of_places(good: NDArray[np.bool_], place: NDArray[np.int64], weight: Floats) -> float:
    """`auc` of rows in the order of `value_places`, so that a resample need not sort again."""
    n = int(place[-1]) + 1 if len(place) else 0
    positive = np.bincount(place, weights=weight * good, minlength=n)
    negative = np.bincount(place, weights=weight * ~good, minlength=n)
    pairs = positive.sum() * negative.sum()
    below = np.cumsum(negative) - 0.5 * negative
    return float(positive @ below / pairs) if pairs > 0 else float("nan")


def group_auc(
    labels: NDArray[np.generic], scores: NDArray[np.floating], users: NDArray[np.integer]
) -> ByUser:
    """AUC within each user's rows, weighted by their number (Zhou et al. 2018, §6.3: "impression-weighted").

    Users with rows of one class only have no AUC and are left out.

    Args:
        labels: [R], above one half is good.
        scores: [R].
        users: [R].
    """
    known, row_user = np.unique(users, return_inverse=True)
    order = np.lexsort((scores, row_user))
    user, score = row_user[order], scores[order]
    good = np.asarray(labels)[order] > 0.5
    starts = np.ones(len(user), dtype=np.bool_)  # of runs of one user and one score
    starts[1:] = (user[1:] != user[:-1]) | (score[1:] != score[:-1])
    run = np.cumsum(starts) - 1
    positive, negative = (np.bincount(run, weights=mask) for mask in (good, ~good))
    run_user = user[starts]
    n_positive, n_negative = (
        np.bincount(run_user, weights=counts, minlength=len(known)) for counts in (positive, negative)
    )
    before = np.cumsum(n_negative) - n_negative  # negatives of earlier users
    below = np.cumsum(negative) - 0.5 * negative - before[run_user]
    wins = np.bincount(run_user, weights=positive * below, minlength=len(known))
    both = (n_positive > 0) & (n_negative > 0)
    return ByUser(
        known[both].astype(np.int64),
        wins[both] / (n_positive * n_negative)[both],
        (n_positive + n_negative)[both].astype(np.float64),
    )


def log_losses(labels: NDArray[np.generic], probabilities: NDArray[np.floating]) -> Floats:
    """-ln of the probability given to what happened, row by row [R]."""
    good = np.asarray(labels) > 0.5
    p = np.clip(probabilities.astype(np.float64), SMALLEST, 1 - SMALLEST)
    return -np.log(np.where(good, p, 1 - p))


@dataclass(frozen=True)
class Reliability:
    """Rows in bins of equal width by their probability.

    Attributes:
        counts: rows in each bin [bins].
        predicted: mean probability in each bin [bins]; NaN where it is empty.
        observed: share of good rows in each bin [bins]; NaN where it is empty.
    """

    counts: NDArray[np.int64]
    predicted: Floats
    observed: Floats

    @property
    def error(self) -> float:
        """Expected calibration error: |predicted - observed| in the mean over rows; NaN without rows."""
        filled = self.counts > 0
        gaps = np.abs(self.predicted - self.observed)[filled]
        return float(gaps @ self.counts[filled] / self.counts.sum()) if filled.any() else float("nan")


def bins_of(probabilities: NDArray[np.floating], bins: int) -> NDArray[np.int64]:
    """The bin of equal width of each probability [R], 1 in the last one."""
    if bins < 1:
        raise ConfigError(f"evaluate.bins must be at least 1, got {bins}")
    return np.clip((probabilities.astype(np.float64) * bins).astype(np.int64), 0, bins - 1)


def reliability(
    labels: NDArray[np.generic], probabilities: NDArray[np.floating], bins: int = 15
) -> Reliability:
    """Probabilities against what happened (Guo et al. 2017, §2).

    Args:
        labels: [R], above one half is good.
        probabilities: [R], in 0..1.
        bins: of equal width.
    """
    place = bins_of(probabilities, bins)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        predicted = np.bincount(place, weights=probabilities, minlength=bins) / counts
        observed = np.bincount(place, weights=np.asarray(labels) > 0.5, minlength=bins) / counts
    return Reliability(counts, predicted, observed)


def list_metrics(
    labels: NDArray[np.generic],
    scores: NDArray[np.floating],
    users: NDArray[np.integer],
    ks: Sequence[int],
    seed: int = 0,
) -> dict[str, ByUser]:
    """Precision and NDCG of each user's rows as a list, best score first.

    Precision divides the good rows among the first k by k, or by the user's rows where there are fewer; NDCG has binary
    gain. Users without a good row, and those with nothing else, tell no ranking apart and are left out; each of the
    others weighs the same.

    Args:
        labels: [R], above one half is good.
        scores: [R].
        users: [R].
        ks: cut-offs.
        seed: of the order of ties.

    Returns:
        `precision@k` and `ndcg@k`.
    """
    known, row_user = np.unique(users, return_inverse=True)
    ties = np.random.default_rng(seed).permutation(len(scores))
    order = np.lexsort((ties, -scores.astype(np.float64), row_user))
    user = row_user[order]
    good = (np.asarray(labels)[order] > 0.5).astype(np.float64)
    length = np.bincount(user, minlength=len(known))
    place = np.arange(len(user)) - (np.cumsum(length) - length)[user]
    n_good = np.bincount(user, weights=good, minlength=len(known)).astype(np.int64)
    judged = (n_good > 0) & (n_good < length)
    discount = 1 / np.log2(np.arange(2, max(length.max(initial=0), 1) + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])  # of 0, 1, ... good rows at the top
    found: dict[str, ByUser] = {}
    for k in ks:
        head = place < k
        hits = np.bincount(user[head], weights=good[head], minlength=len(known))
        dcg = np.bincount(user[head], weights=(good * discount[place])[head], minlength=len(known))
        best = ideal[np.minimum(n_good, k)]
        for name, value, most in (("precision", hits, np.minimum(length, k)), ("ndcg", dcg, best)):
            ratio = value[judged] / most[judged]
            found[f"{name}@{k}"] = ByUser(known[judged].astype(np.int64), ratio, np.ones(int(judged.sum())))
    return found


def validation_figures(
    labels: NDArray[np.generic], users: NDArray[np.integer], logits: NDArray[np.floating]
) -> dict[str, float]:
    """What tells how training goes: `auc`, `gauc` and `logloss` of logits [R], by the model's own probabilities."""
    z = logits.astype(np.float64)
    probabilities = np.exp(-np.logaddexp(0.0, -z))
    return {
        "auc": auc(labels, logits),
        "gauc": group_auc(labels, logits, users).mean,
        "logloss": float(log_losses(labels, probabilities).mean()),
    }
