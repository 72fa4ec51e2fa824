"""Report sections about the generative model's search, its levels, and approximate indices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genrec.evaluation.page import Cell, Figure, Key, Section, Table
from genrec.evaluation.plots import Series, bar_plot, line_plot, short
from genrec.evaluation.view import signed


@dataclass(frozen=True)
class SearchWidth:
    """One way to search for the same users.

    Attributes:
        width: beams, or None for exact search.
        ndcg: NDCG at the report's cut-off.
        found: share of exact search's first k that this search finds, 1 for exact itself.
        seconds: per 1,000 users.
    """

    width: int | None
    ndcg: float
    found: float
    seconds: float

    @property
    def name(self) -> str:
        """`exact` or the width."""
        return "exact" if self.width is None else str(self.width)


@dataclass(frozen=True)
class LevelAccuracy:
    """How often the model's first choice of a code is right.

    Attributes:
        level: 1 for the first code.
        right: accuracy where the prefix is the target's.
        n_right: targets judged for that.
        wrong: accuracy where the prefix was the model's own and wrong; None on the first level.
        n_wrong: targets judged for that.
    """

    level: int
    right: float
    n_right: int
    wrong: float | None = None
    n_wrong: int = 0


@dataclass(frozen=True)
class IndexLoss:
    """An approximate index against the exact dot product over the same vectors.

    Attributes:
        name: the index and its settings.
        ndcg, exact_ndcg: at the report's cut-off.
        found: share of exact's first k that the index finds.
        seconds, exact_seconds: per 1,000 users.
    """

    name: str
    ndcg: float
    exact_ndcg: float
    found: float
    seconds: float
    exact_seconds: float


def search_section(points: Sequence[SearchWidth], k: int) -> Section | None:
    """Quality, agreement with exact search and time, by beam width."""
    if not points:
        return None
    beams = sorted((p for p in points if p.width is not None), key=lambda p: p.width or 0)
    exact = next((p for p in points if p.width is None), None)
    ordered = [*beams, *([exact] if exact else [])]
    rows = tuple((Cell(p.name), f"{p.ndcg:.4f}", f"{p.found:.1%}", f"{p.seconds:.3g} s") for p in ordered)
    table = Table(
        ("Beam width", f"NDCG@{k}", f"Exact top {k} found", "Time per 1,000 users"),
        rows,
        "The smallest width whose NDCG no longer differs from exact is the one to serve.",
    )
    x, ticks = list(range(len(beams))), [p.name for p in beams]
    if not beams:
        return Section("Exact search against beams", (table,))

    def figure(title: str, values: list[float], label: str, level: float | None, caption: str) -> Figure:
        line = None if level is None else ("exact", level)
        zoomed = label.startswith("NDCG")  # differences are small against the distance to zero
        svg = line_plot(
            [Series("beam", x, values, 0)], "beam width", label, ticks=ticks, level=line, from_zero=not zoomed
        )
        return Figure(title, svg, caption)

    blocks = (
        figure(
            f"NDCG@{k} by beam width",
            [p.ndcg for p in beams],
            f"NDCG@{k}",
            exact.ndcg if exact else None,
            "The gap to the dashed line is what the beam loses; a beam above it was lucky, not better.",
        ),
        figure(
            f"Share of exact search's top {k} that the beam finds",
            [p.found for p in beams],
            "share found",
            None,
            "At 1 the beam returns the same items as exhaustive scoring.",
        ),
        figure(
            "Time by beam width",
            [p.seconds for p in beams],
            "seconds per 1,000 users",
            exact.seconds if exact else None,
            "What each doubling of the beam costs, next to scoring every item.",
        ),
        table,
    )
    return Section(
        "Exact search against beams",
        blocks,
        "Exact search scores every item; a beam keeps the best prefixes only.",
    )


def level_section(levels: Sequence[LevelAccuracy]) -> Section | None:
    """Accuracy per level, given a right or a wrong prefix."""
    if not levels:
        return None
    rows = tuple(
        (
            Cell(f"Level {one.level}"),
            f"{one.right:.3f}",
            f"{one.n_right:,}",
            "–" if one.wrong is None else f"{one.wrong:.3f}",
            f"{one.n_wrong:,}" if one.wrong is not None else "–",
        )
        for one in levels
    )
    x = list(range(len(levels)))
    nan = float("nan")
    series = [
        Series("right prefix", x, [one.right for one in levels], 0),
        Series("wrong prefix", x, [nan if one.wrong is None else one.wrong for one in levels], 1),
    ]
    figure = Figure(
        title="Accuracy of the first choice, by level",
        svg=bar_plot(series, [f"level {one.level}" for one in levels], "", "accuracy"),
        caption="Low on the first level: the model does not know where to go. Low on later levels with a right "
        "prefix: the ids are finer than what behaviour can tell apart.",
        keys=(Key("prefix is right", 0), Key("prefix is wrong", 1)),
    )
    columns = ("Level", "Right prefix", "Targets", "Wrong prefix", "Targets")
    table = Table(
        columns, rows, "With a wrong prefix the item is lost already; the figure shows what codes mean alone."
    )
    return Section("Accuracy by level", (figure, table))


def index_section(losses: Sequence[IndexLoss], k: int) -> Section | None:
    """What approximate nearest-neighbour search loses."""
    if not losses:
        return None
    columns = ("Index", f"NDCG@{k}", "Exact", "Difference", f"Exact top {k} found", "Time per 1,000", "Exact")
    rows = tuple(
        (
            Cell(one.name),
            f"{one.ndcg:.4f}",
            f"{one.exact_ndcg:.4f}",
            Cell(signed(one.ndcg - one.exact_ndcg), "bad" if one.ndcg < one.exact_ndcg else ""),
            f"{one.found:.1%}",
            f"{short(one.seconds)} s",
            f"{short(one.exact_seconds)} s",
        )
        for one in losses
    )
    caption = "Both search the same vectors; on a small catalogue exact search is often the faster one too."
    return Section("Index against exact dot product", (Table(columns, rows, caption),))


def flat_diagnostics(
    search: Sequence[SearchWidth], levels: Sequence[LevelAccuracy], index: Sequence[IndexLoss]
) -> dict[str, float]:
    """The same numbers under flat keys: `search/<width>/...`, `levels/<level>/...`, `index/<name>/...`."""
    flat: dict[str, float] = {}
    for one in search:
        flat |= {f"search/{one.name}/ndcg": one.ndcg, f"search/{one.name}/found": one.found}
        flat[f"time/search/{one.name}/seconds_per_1000_users"] = one.seconds
    for level in levels:
        flat[f"levels/{level.level}/right_prefix"] = level.right
        if level.wrong is not None:
            flat[f"levels/{level.level}/wrong_prefix"] = level.wrong
    for loss in index:
        flat |= {f"index/{loss.name}/ndcg": loss.ndcg, f"index/{loss.name}/exact_ndcg": loss.exact_ndcg}
        flat[f"index/{loss.name}/found"] = loss.found
        flat[f"time/index/{loss.name}/seconds_per_1000_users"] = loss.seconds
    return flat
