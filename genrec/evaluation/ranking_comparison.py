"""Rankers side by side on the same rows: figures with intervals, and differences to a reference.

Intervals are percentiles over resampled users (see `genrec.evaluation.significance`): rows of one user are not
independent, and all rankers share the draws, so that what is hard about a user cancels in a difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from genrec.errors import ConfigError, DataError
from genrec.evaluation.ranking_metrics import (
    ByUser,
    Floats,
    Reliability,
    auc_of_places,
    bins_of,
    group_auc,
    list_metrics,
    log_losses,
    reliability,
    value_places,
)
from genrec.evaluation.significance import Interval, intervals

_CELLS = 1 << 22  # draws held at once: 32 MB


@dataclass(frozen=True)
class Judged:
    """Rows that rankers are judged by.

    Attributes:
        users: int [R].
        labels: [R], above one half is good.
        ks: cut-offs of lists.
        bins: of the calibration error.
    """

    users: NDArray[np.integer]
    labels: NDArray[np.floating]
    ks: tuple[int, ...] = (5, 10)
    bins: int = 15

    def __post_init__(self) -> None:
        good = int((self.labels > 0.5).sum())
        if not 0 < good < len(self.labels):
            raise DataError(
                f"{good} of {len(self.labels)} rows are good, so that nothing can be told apart; judge by other rows"
            )

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """The user of each row as a number from 0 [R]."""
        return np.asarray(np.unique(self.users, return_inverse=True)[1])

    @property
    def n_users(self) -> int:
        """Users that occur."""
        return int(self.places.max()) + 1


@dataclass(frozen=True)
class Scored:
    """What a ranker says of the rows.

    Attributes:
        scores: [R], higher is better.
        probabilities: [R], that the row is good.
        seconds: that it took.
    """

    scores: NDArray[np.floating]
    probabilities: NDArray[np.floating]
    seconds: float = float("nan")


@dataclass(frozen=True)
class RankingComparison:
    """Rankers on the same rows.

    Attributes:
        part: what the rows are of: `valid`, `test`.
        reference: the ranker that others are compared with.
        rows, users, good: rows, users, and share of good rows.
        figures: ranker -> metric -> interval, in the order of the tables.
        differences: the same for ranker minus reference; the reference has none.
        reliability: ranker -> probabilities against what happened.
        seconds: ranker -> time to score all rows.
    """

    part: str
    reference: str
    rows: int
    users: int
    good: float
    figures: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Interval]] = field(default_factory=dict)
    reliability: dict[str, Reliability] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the figures, in order."""
        return tuple(self.figures[self.reference])


def compare_rankers(
    judged: Judged,
    scored: Mapping[str, Scored],
    *,
    part: str = "test",
    reference: str | None = None,
    n: int = 500,
    seed: int = 0,
    level: float = 0.95,
) -> RankingComparison:
    """Every figure of every ranker, with its interval over users and that of the difference to the reference.

    Args:
        reference: the first ranker if not given.
        n: resamples.
        seed: of the resamples, and of the order of ties.
        level: coverage.

    Raises:
        ConfigError: there is nothing to compare, or no such reference.
    """
    if not scored or (reference is not None and reference not in scored):
        raise ConfigError(
            f"evaluate.reference is {reference!r}, but the rankers are {', '.join(scored) or 'none'}"
        )
    reference = reference or next(iter(scored))
    found: dict[str, tuple[Floats, Floats]] = {}
    names: tuple[str, ...] = ()
    for name, one in scored.items():
        sums = _Sums.of(judged, one, seed)
        names = sums.names
        draws = np.concatenate([sums.figures(counts) for counts in _draws(judged.n_users, n, seed)])
        found[name] = sums.figures(np.ones((1, judged.n_users)))[0], draws
    own = {
        name: dict(zip(names, intervals(centre, draws, level), strict=True))
        for name, (centre, draws) in found.items()
    }
    base = found[reference]
    apart = {
        name: dict(zip(names, intervals(centre - base[0], draws - base[1], level), strict=True))
        for name, (centre, draws) in found.items()
        if name != reference
    }
    return RankingComparison(
        part,
        reference,
        rows=len(judged.labels),
        users=judged.n_users,
        good=float((judged.labels > 0.5).mean()),
        figures=own,
        differences=apart,
        reliability={
            name: reliability(judged.labels, one.probabilities, judged.bins) for name, one in scored.items()
        },
        seconds={name: one.seconds for name, one in scored.items()},
    )


def _draws(users: int, n: int, seed: int) -> Iterator[Floats]:
    """How often each user is drawn [block, users], n rows in all; a draw that misses every user cannot be."""
    rng = np.random.default_rng(seed)
    left = n
    while left:
        rows = min(left, max(1, _CELLS // users))
        drawn = rng.integers(users, size=(rows, users)) + np.arange(rows)[:, None] * users
        yield np.bincount(drawn.ravel(), minlength=rows * users).reshape(rows, users).astype(np.float64)
        left -= rows


@dataclass(frozen=True)
class _Sums:
    """What the figures of any sample of users are made of, user by user.

    Attributes:
        names: of the figures.
        over: [U, P] numerators, `under` [U, P] denominators of those that are ratios of sums.
        gaps: [U, bins], labels minus probabilities; `rows` [U].
        good, place, user: of each row in the order of its score [R], for AUC.
    """

    names: tuple[str, ...]
    over: Floats
    under: Floats
    gaps: Floats
    rows: Floats
    good: NDArray[np.bool_]
    place: NDArray[np.int64]
    user: NDArray[np.int64]

    @classmethod
    def of(cls, judged: Judged, scored: Scored, seed: int) -> _Sums:
        user, users, labels = judged.places, judged.n_users, judged.labels
        rows = np.bincount(user, minlength=users).astype(np.float64)
        losses = np.bincount(user, weights=log_losses(labels, scored.probabilities), minlength=users)
        ratios = {
            "gauc": _spread(group_auc(labels, scored.scores, user), users),
            "logloss": (losses, rows),
        }
        lists = list_metrics(labels, scored.scores, user, judged.ks, seed)
        ratios |= {name: _spread(one, users) for name, one in lists.items()}
        cell = user * judged.bins + bins_of(scored.probabilities, judged.bins)
        gap: Floats = (labels > 0.5) - scored.probabilities.astype(np.float64)
        gaps = np.bincount(cell, weights=gap, minlength=users * judged.bins).astype(np.float64)
        order, place = value_places(scored.scores)
        return cls(
            ("auc", "ece", *ratios),
            np.stack([over for over, _ in ratios.values()], axis=1),
            np.stack([under for _, under in ratios.values()], axis=1),
            gaps.reshape(users, judged.bins),
            rows,
            labels[order] > 0.5,
            place,
            user[order],
        )

    def figures(self, counts: Floats) -> Floats:
        """Figures [n, M] of samples in which users occur `counts` [n, U] times; NaN where one is undefined."""
        whole = [auc_of_places(self.good, self.place, one[self.user]) for one in counts]
        error = np.abs(counts @ self.gaps).sum(axis=1) / (counts @ self.rows)
        with np.errstate(invalid="ignore"):
            ratios = (counts @ self.over) / (counts @ self.under)
        return np.column_stack([whole, error, ratios])


def _spread(figure: ByUser, users: int) -> tuple[Floats, Floats]:
    """Weighted values and weights of all users [U], zero where the figure is undefined."""
    over, under = np.zeros(users), np.zeros(users)
    over[figure.users] = figure.values * figure.weights
    under[figure.users] = figure.weights
    return over, under
