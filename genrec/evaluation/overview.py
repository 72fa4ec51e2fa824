"""Report sections that say who wins: the result, the tables, the differences, and what they rest on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from genrec.evaluation.metrics import ACCURACY, BEYOND
from genrec.evaluation.page import Block, Cell, Figure, Section, Table, Tile, Tiles
from genrec.evaluation.plots import Series, forest_plot, short
from genrec.evaluation.protocol import Evaluation
from genrec.evaluation.significance import Interval
from genrec.evaluation.view import NAMES, View, masking_name, signed

_CAPTION = (
    "Δ: the method minus the reference, with its paired interval, coloured where it excludes zero. Coverage: share "
    "of the catalogue shown to anyone. Gini: 0 is even exposure, near 1 a few items for all. Novelty: bits of surprise "
    "per item. Diversity: mean 1 − cosine within a list. These four are not better when higher: random lists win them."
)


def summary(view: View) -> Section:
    """The result in a sentence, and the figures that matter."""
    metric = f"ndcg@{view.k}"
    best = max(view.shown, key=lambda e: e.summary[metric])
    reference = view.reference
    name = view.name(reference.method)
    own = view.comparison.intervals[reference.method, view.masked]
    title = f"NDCG@{view.k}"
    if best is reference:
        others = [e for e in view.shown if e is not reference]
        second = max(others, key=lambda e: e.summary[metric], default=None)
        verdict = f"With the {masking_name(view.masked)}, {name} has the best {title}, {own[metric].mean:.4f}"
        verdict += _against(view, second, metric) if second else "."
    else:
        verdict = (
            f"With the {masking_name(view.masked)}, {view.name(best.method)} has the best {title}, "
            f"{best.summary[metric]:.4f}; {name} has {own[metric].mean:.4f}" + _against(view, best, metric)
        )
    counts = view.cases.describe()
    tiles = (
        *(
            Tile(
                f"{name}: {NAMES[m]}@{view.k}",
                f"{own[f'{m}@{view.k}'].mean:.4f}",
                _span(own[f"{m}@{view.k}"]),
            )
            for m in ("ndcg", "recall")
        ),
        Tile(f"Best {title}", f"{best.summary[metric]:.4f}", view.name(best.method)),
        Tile("Users judged", f"{counts['users']:,}", f"{counts['users_cold']:,} without history"),
        Tile("Catalogue", f"{counts['items']:,}", f"{counts['items_cold']:,} items without a training event"),
        Tile(
            "Invalid ids",
            f"{sum(e.summary['invalid'] for e in view.comparison.evaluations):.0f}",
            "all methods",
        ),
    )
    return Section("Result", (Tiles(tiles),), verdict)


def _against(view: View, other: Evaluation, metric: str) -> str:
    """How the reference stands to another method, as the end of a sentence."""
    apart = view.comparison.differences[other.method, view.masked][metric]  # other minus reference
    noise = "beyond" if apart.excludes_zero else "within"
    return (
        f", {signed(-apart.mean)} against {view.name(other.method)} ({view.comparison.level:.0%} interval "
        f"{signed(-apart.high)} to {signed(-apart.low)}), {noise} the noise of {len(view.cases.users):,} users."
    )


def main_tables(view: View) -> Section:
    """Per masking: every metric at the headline cut-off, then all cut-offs behind a click."""
    blocks: list[Block] = [_table(view, masked, view.k) for masked in view.comparison.maskings]
    for masked in view.comparison.maskings:
        blocks += [_table(view, masked, k) for k in view.comparison.ks if k != view.k]
    intro = (
        "The whole catalogue is ranked, and a hit is the exact item. The best of each accuracy column is marked; "
        f"hover a figure for its {view.comparison.level:.0%} bootstrap interval."
    )
    return Section("All methods", tuple(blocks), intro)


def _table(view: View, masked: bool, k: int) -> Table:
    """All methods at one cut-off; cut-offs other than the headline's start closed."""
    group = view.comparison.of(masked)
    names = [m for m in (*ACCURACY, *BEYOND) if f"{m}@{k}" in group[0].summary]
    best = {m: max(round(e.summary[f"{m}@{k}"], 4) for e in group) for m in ACCURACY}
    rows = []
    for e in group:
        own = view.comparison.intervals[e.method, masked]
        cells = [Cell(view.name(e.method))]
        for m in names:
            value = e.summary[f"{m}@{k}"]
            if m in best:
                found = f"{value:.4f}", _span(own[f"{m}@{k}"])
                cells.append(Cell(found[0], "best" if round(value, 4) == best[m] else "", found[1]))
            else:
                cells.append(Cell(_beyond(m, value), "quiet"))
        cells.append(Cell(short(e.users_per_second), "quiet"))
        cells.insert(3, _difference(view, e, f"ndcg@{k}"))
        rows.append(tuple(cells))
    columns = ["Method", *(NAMES[m] for m in names), "Users/s"]
    columns.insert(3, f"Δ NDCG to {view.name(view.comparison.reference)}")
    title = f"At {k}, {masking_name(masked)}"
    first = masked == view.masked and k == view.k
    return Table(tuple(columns), tuple(rows), _CAPTION if first else "", title, folded=k != view.k)


def _beyond(metric: str, value: float) -> str:
    if not np.isfinite(value):
        return "–"
    return {"coverage": f"{value:.1%}", "novelty": f"{value:.2f}"}.get(metric, f"{value:.3f}")


def _span(interval: Interval) -> str:
    return f"{interval.low:.4f} to {interval.high:.4f}"


def _difference(view: View, e: Evaluation, metric: str) -> Cell:
    """Method minus reference, with its interval."""
    apart = view.comparison.differences.get((e.method, e.masked))
    if apart is None:
        return Cell("reference", "quiet")
    one = apart[metric]
    text = f"{signed(one.mean)} [{signed(one.low)}, {signed(one.high)}]"
    if not one.excludes_zero:
        return Cell(text)
    return Cell(text, "good" if one.mean > 0 else "bad")


def differences(view: View) -> Section | None:
    """Paired differences to the reference, as whiskers."""
    others = [e for e in view.comparison.evaluations if e.method != view.comparison.reference]
    if not others:
        return None
    figures = []
    for masked in view.comparison.maskings:
        rows = []
        for e in view.comparison.of(masked):
            if e.method == view.comparison.reference:
                continue
            one = view.comparison.differences[e.method, masked][f"ndcg@{view.k}"]
            rows.append(
                Series(
                    view.name(e.method),
                    [0],
                    [one.mean],
                    view.colour(e.method),
                    low=[one.low],
                    high=[one.high],
                )
            )
        figures.append(
            Figure(
                title=f"NDCG@{view.k} minus {view.name(view.comparison.reference)}, {masking_name(masked)}",
                svg=forest_plot(rows, f"difference in NDCG@{view.k}"),
                caption="Right of zero is better than the reference; a whisker that crosses zero is undecided.",
            )
        )
    intro = "Paired bootstrap over users: both methods are judged on the same draws."
    return Section("Differences", tuple(figures), intro)


def provenance(view: View, facts: Mapping[str, str]) -> Section:
    """Where the numbers come from, and how many cases they rest on."""
    rows = tuple((label, value) for label, value in facts.items())
    counts = tuple(
        (label.replace("_", " ").capitalize(), f"{n:,}") for label, n in view.cases.describe().items()
    )
    return Section(
        "Data and settings",
        (Table(("Setting", "Value"), rows, prose=True), Table(("Counted", "Number"), counts)),
        "Cold users have no history, cold items no event before the part that is judged.",
    )
