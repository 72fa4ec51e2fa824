"""Report sections that say where each method wins: list length, popularity, history, cold items, overlap, time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from genrec.evaluation.page import Cell, Figure, Key, Section, Table, Text
from genrec.evaluation.plots import Series, line_plot, scatter_plot, share_plot, short
from genrec.evaluation.slices import (
    Bins,
    cold_items,
    history_bins,
    overlap,
    popularity_bins,
    recall_curve,
    targets_found,
)
from genrec.evaluation.view import View, masking_name


def recall_by_cutoff(view: View) -> Section:
    """Recall at every list length."""
    figures = []
    for masked in view.comparison.maskings:
        group = view.comparison.of(masked)
        curves = {e.method: recall_curve(e, view.cases) for e in group}
        lines = [
            view.series(e, range(1, len(curves[e.method]) + 1), curves[e.method].tolist()) for e in group
        ]
        ks = view.comparison.ks
        rows = tuple((view.name(e.method), *(f"{e.summary[f'recall@{k}']:.4f}" for k in ks)) for e in group)
        figures.append(
            Figure(
                title=f"Recall by K, {masking_name(masked)}",
                svg=line_plot(lines, "K", "recall", markers=False),
                caption="Read at the length your next stage can re-rank: the highest line leaves it the most to find.",
                keys=view.keys(group),
                numbers=Table(("Method", *(f"@{k}" for k in ks)), rows),
            )
        )
    return Section("Recall by list length", tuple(figures))


def recall_by_group(view: View) -> Section:
    """Recall by popularity of the target and by length of the history."""
    found = {e.method: targets_found(e, view.cases, view.k) for e in view.shown}
    per_user = {e.method: e.per_user[f"recall@{view.k}"] for e in view.shown}
    popular = _group_figure(
        view,
        popularity_bins(view.cases),
        found,
        f"Recall@{view.k} by popularity of the target",
        "training events of the target item",
        "Left are rare items, 0 is cold; a line that is high only at the right recommends what everyone knows.",
    )
    long = _group_figure(
        view,
        history_bins(view.cases),
        per_user,
        f"Recall@{view.k} by length of the history",
        "events in the user's history",
        "Left are new users; a line that rises makes use of long histories.",
    )
    intro = f"Groups hold about equally many cases, {masking_name(view.masked)}."
    return Section("Popularity and history", (popular, long), intro)


def _group_figure(
    view: View, bins: Bins, values: Mapping[str, NDArray[Any]], title: str, x_label: str, caption: str
) -> Figure:
    x = list(range(len(bins.labels)))
    means = {method: bins.means(one) for method, one in values.items()}
    lines = [view.series(e, x, means[e.method].tolist()) for e in view.shown]
    sizes: tuple[Cell | str, ...] = (Cell("cases", "quiet"), *(Cell(f"{n:,}", "quiet") for n in bins.sizes))
    rows = (*((view.name(e.method), *(f"{v:.3f}" for v in means[e.method])) for e in view.shown), sizes)
    return Figure(
        title=title,
        svg=line_plot(lines, x_label, f"recall@{view.k}", ticks=bins.labels),
        caption=caption,
        keys=view.keys(view.shown),
        numbers=Table(("Method", *bins.labels), rows),
    )


def cold(view: View) -> Section:
    """Items without a training event: who finds them."""
    rows = []
    targets = 0
    for e in view.shown:
        one = cold_items(e, view.cases, view.k)
        targets = one.targets
        recall = f"{one.found / one.targets:.4f}" if one.targets else "–"
        rows.append((view.name(e.method), f"{one.found}", recall, f"{one.shown:.2%}"))
    columns = ("Method", f"Found in top {view.k}", f"Recall@{view.k}", "Cold share of places")
    n_cold, n_targets = view.cases.describe()["items_cold"], len(view.cases.target_items)
    intro = f"{n_cold:,} items have no training event; {targets:,} of {n_targets:,} targets are on them."
    if not targets:
        return Section(
            "Cold items",
            (Text("No target is on a cold item, so nothing can be said about finding them."),),
            intro,
        )
    caption = "Only methods that know an item's content can find it before anyone has interacted with it."
    return Section("Cold items", (Table(columns, tuple(rows), caption),), intro)


def overlap_of_hits(view: View, embedding: str) -> Section | None:
    """Which targets the generative and the embedding method find, together and alone."""
    second = view.comparison.get(embedding, view.masked)
    if second is None or second.method == view.reference.method:
        return None
    found = overlap(view.reference, second, view.cases, view.k)
    a, b = view.name(view.reference.method), view.name(embedding)
    parts = (("both", found.both, 6), (f"only {a}", found.only_first, 0), (f"only {b}", found.only_second, 1))
    total = max(len(view.cases.target_items), 1)
    colours = {0: view.colour(view.reference.method), 1: view.colour(embedding)}
    series = [Series(label, [0], [count], colours.get(colour, colour)) for label, count, colour in parts]
    all_parts = (*((label, count) for label, count, _ in parts), ("neither", found.neither))
    rows = tuple(
        (label[:1].upper() + label[1:], f"{count:,}", f"{count / total:.2%}") for label, count in all_parts
    )
    best = max(view.reference.summary[f"recall@{view.k}"], second.summary[f"recall@{view.k}"])
    figure = Figure(
        title=f"Targets found in the first {view.k}",
        svg=share_plot(series, "targets found"),
        caption=f"Together they find {found.either:.2%} of all targets; the better one alone has a recall of "
        f"{best:.2%}. The gap is what a perfect merge of the two could gain.",
        keys=tuple(Key(one.label, one.colour) for one in series),
    )
    return Section("Overlap of hits", (figure, Table(("Found by", "Targets", "Share"), rows)))


def latency(view: View) -> Section:
    """Time per user against recall."""
    points = [
        view.series(e, [1000 / e.users_per_second], [e.summary[f"recall@{view.k}"]]) for e in view.shown
    ]
    figure = Figure(
        title=f"Time and recall@{view.k}",
        svg=scatter_plot(points, "milliseconds per user", f"recall@{view.k}", log_x=True),
        caption="Up and left is better. Wall time of one batched call for all users on this machine, model "
        "loading excluded.",
    )
    rows = tuple(
        (
            view.name(e.method),
            f"{1000 / e.users_per_second:.3g} ms",
            short(e.users_per_second),
            f"{e.seconds:.3g} s",
        )
        for e in view.shown
    )
    table = Table(("Method", "Per user", "Users per second", "All users"), rows)
    return Section("Latency and recall", (figure, table))
