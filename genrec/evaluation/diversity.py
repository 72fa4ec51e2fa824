"""What diversity costs: NDCG against intra-list diversity as MMR's λ goes from relevance to diversity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genrec.errors import ConfigError
from genrec.evaluation.metrics import accuracy, coverage, diversity, hits, novelty
from genrec.evaluation.page import Cell, Figure, Key, Section, Table, Tone
from genrec.evaluation.plots import Series, path_plot
from genrec.evaluation.protocol import EvaluationSet
from genrec.evaluation.significance import Interval, intervals, resampled_means
from genrec.evaluation.svg import N_COLOURS

LAMBDAS = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0)

Order = Callable[[float], NDArray[np.int32]]
"""From λ to the lists of all users of an evaluation set: int32 [U, at least k], -1 where there is none."""


@dataclass(frozen=True)
class Point:
    """The lists that one λ makes.

    Attributes:
        lambda_mmr: weight of relevance.
        ndcg: mean over users.
        change: NDCG minus that of λ = 1, in pairs.
        ild: mean of 1 - cosine within a list, over users with at least two known items.
        novelty: bits of surprise per item.
        coverage: share of the catalogue shown to anyone.
    """

    lambda_mmr: float
    ndcg: Interval
    change: Interval
    ild: float
    novelty: float
    coverage: float


def trade_off(
    order: Order,
    cases: EvaluationSet,
    vectors: NDArray[np.floating],
    k: int = 10,
    lambdas: Sequence[float] = LAMBDAS,
) -> tuple[Point, ...]:
    """Judge the lists that each λ makes of the same candidates.

    Args:
        order: re-ranks the candidates of the set's users, in its order of users.
        cases: who is judged, and by what.
        vectors: item features [N, D], by which lists are diverse; those of the re-ranker flatter it, others do not.
        k: cut-off.
        lambdas: each in 0..1; λ = 1 is compared with in any case.

    Returns:
        A point for each of `lambdas`, from relevance to diversity.
    """
    if not lambdas or not all(0 <= one <= 1 for one in lambdas):
        raise ConfigError(f"trade_off.lambdas must be numbers from 0 to 1, at least one; got {list(lambdas)}")
    ordered = sorted(set(lambdas), reverse=True)
    lists = [order(one) for one in ordered]
    ndcg = np.stack([_ndcg(items, cases, k) for items in lists], axis=1)  # [U, number of λ]
    plain = ndcg[:, :1] if ordered[0] == 1 else _ndcg(order(1.0), cases, k)[:, None]
    values = np.concatenate([ndcg, ndcg - plain], axis=1)
    found = intervals(values.mean(axis=0), resampled_means(values))  # one draw of users for all of them
    points = []
    for place, items in enumerate(lists):
        spread = diversity(items[:, :k], vectors)
        known = spread[~np.isnan(spread)]
        points.append(
            Point(
                lambda_mmr=ordered[place],
                ndcg=found[place],
                change=found[len(ordered) + place],
                ild=float(known.mean()) if len(known) else float("nan"),
                novelty=novelty(items[:, :k], cases.item_counts),
                coverage=coverage(items[:, :k], cases.n_items),
            )
        )
    return tuple(points)


def flat_curve(points: Sequence[Point], where: str, k: int = 10) -> dict[str, float]:
    """The numbers under flat keys: `<where>/lambda/<λ>/ndcg@<k>` with `…/low` and `…/high`, `ild@<k>` and so on.

    Args:
        points: from `trade_off`.
        where: `<part>/<method>/<masking>`.
        k: the cut-off.
    """
    flat: dict[str, float] = {}
    for one in points:
        start = f"{where}/lambda/{one.lambda_mmr:g}"
        flat |= {
            f"{start}/ndcg@{k}": one.ndcg.mean,
            f"{start}/ndcg@{k}/low": one.ndcg.low,
            f"{start}/ndcg@{k}/high": one.ndcg.high,
            f"{start}/ild@{k}": one.ild,
            f"{start}/novelty@{k}": one.novelty,
            f"{start}/coverage@{k}": one.coverage,
        }
    return flat


def trade_off_section(curves: Mapping[str, Sequence[Point]], k: int = 10) -> Section:
    """The curves as a plot, and their numbers.

    Args:
        curves: points by the name of what made the candidates.
        k: the cut-off.
    """
    many = len(curves) > 1
    series = [
        Series(
            name,
            [one.ild for one in points],
            [one.ndcg.mean for one in points],
            place % N_COLOURS,
            low=[one.ndcg.mean - one.change.mean + one.change.low for one in points],
            high=[one.ndcg.mean - one.change.mean + one.change.high for one in points],
        )
        for place, (name, points) in enumerate(curves.items())
    ]
    labels = [[f"{one.lambda_mmr:g}" for one in points] for points in curves.values()]
    figure = Figure(
        title=f"NDCG@{k} against diversity, point by point of λ",
        svg=path_plot(series, labels, f"Diversity@{k} (mean 1 − cosine within a list)", f"NDCG@{k}"),
        caption="Numbers beside points are λ: 1 is the order of relevance, 0 looks at similarity only. The band is the "
        "95 % interval of what is won or lost against λ = 1. Up and to the right is better.",
        keys=tuple(Key(one.label, one.colour) for one in series) if many else (),
    )
    table = Table(
        columns=("Candidates", "λ", f"NDCG@{k}", "Δ NDCG to λ = 1", "Diversity", "Novelty", "Coverage"),
        rows=tuple(_row(name, one) for name, points in curves.items() for one in points),
        caption="Δ is coloured where its paired interval excludes zero.",
        title="Figures by λ",
        folded=many,
    )
    intro = (
        "Each next item is the one with the largest λ · relevance − (1 − λ) · similarity to those before it."
    )
    return Section("Diversity and accuracy", (figure, table), intro)


def _row(name: str, one: Point) -> tuple[Cell | str, ...]:
    change = f"{one.change.mean:+.4f} [{one.change.low:+.4f}, {one.change.high:+.4f}]".replace("-", "−")
    tone: Tone = "good" if one.change.low > 0 else "bad" if one.change.high < 0 else ""
    return (
        name,
        f"{one.lambda_mmr:g}",
        f"{one.ndcg.mean:.4f}",
        Cell(change, tone),
        f"{one.ild:.3f}",
        f"{one.novelty:.2f}",
        f"{one.coverage:.1%}",
    )


def _ndcg(items: NDArray[np.int32], cases: EvaluationSet, k: int) -> NDArray[np.float64]:
    """Per user [U]."""
    hit = hits(items[:, :k], cases.target_offsets, cases.target_items, cases.n_items)
    return accuracy(hit, cases.n_targets, [k])[f"ndcg@{k}"]
