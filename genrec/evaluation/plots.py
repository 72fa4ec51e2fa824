"""The kinds of plot the reports use, each a function from numbers to inline SVG (see `genrec.evaluation.svg`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import Affine2D, Bbox
from numpy.typing import NDArray

from genrec.evaluation.svg import INK, SERIES, SOFT, drawing

_MARKERS = "osD^vPX*hp"


@dataclass(frozen=True)
class Series:
    """One method's points.

    Attributes:
        label: its name (for hovering, the scatter plot and the page's legend).
        x: positions [n]; bin numbers where the plot has `ticks`.
        y: values [n].
        colour: number of its colour, below `N_COLOURS`; also picks its marker.
        dashed: draw the line dashed.
        low, high: ends of an interval around y [n], or None.
    """

    label: str
    x: Sequence[float] | NDArray[np.floating]
    y: Sequence[float] | NDArray[np.floating]
    colour: int
    dashed: bool = False
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


def short(value: float) -> str:
    """A number in few characters: `.081`, `0.5`, `12`, `3.4k`."""
    size = abs(value)
    if size >= 10_000:
        return f"{value / 1000:.0f}k"
    if size >= 1000:
        return f"{value / 1000:.3g}k"
    return f"{value:.3g}" if size >= 0.01 or value == 0 else f"{value:.2g}"


def _axis_numbers(axes: Axes, *, x: bool, y: bool) -> None:
    form = FuncFormatter(lambda value, _: short(value))
    for axis, wanted in ((axes.xaxis, x), (axes.yaxis, y)):
        if wanted:
            if axis.get_scale() == "log":
                axis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # a short axis would else have one number
            axis.set_major_formatter(form)
            axis.set_minor_formatter(NullFormatter())


def line_plot(
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    *,
    ticks: Sequence[str] | None = None,
    log_x: bool = False,
    log_y: bool = False,
    markers: bool = True,
    level: tuple[str, float] | None = None,
    from_zero: bool = True,
) -> str:
    """Lines, with whiskers where a series has an interval.

    Args:
        ticks: names of the positions 0, 1, ... on the x axis, for bins.
        level: label and height of a dashed horizontal line to compare with.
        from_zero: start the y axis at 0 (ignored where it is logarithmic).
    """
    with drawing(f"{y_label} by {x_label}: {', '.join(s.label for s in series)}") as canvas:
        axes = canvas.axes
        for place, one in enumerate(series):
            shift = (place - (len(series) - 1) / 2) * 0.04 if ticks and one.low is not None else 0.0
            x = np.asarray(one.x, dtype=float) + shift
            axes.plot(
                x,
                one.y,
                color=SERIES[one.colour],
                linestyle=(0, (4, 2)) if one.dashed else "-",
                marker=_MARKERS[one.colour] if markers else "",
                zorder=4 - 0.1 * place,
            )
            if one.low is not None and one.high is not None:
                axes.vlines(x, one.low, one.high, color=SERIES[one.colour], linewidth=1, alpha=0.6)
        if log_x:
            axes.set_xscale("log")
        if log_y:
            axes.set_yscale("log")
        if level is not None:
            axes.axhline(level[1], color=SOFT, linestyle=(0, (2, 2)), linewidth=1.2)
            axes.annotate(
                level[0],
                (0, level[1]),
                (2, 3),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                color=SOFT,
                fontsize=9,
            )
        axes.margins(y=0.08)
        if from_zero and not log_y:
            axes.set_ylim(bottom=0)
        _axis_numbers(axes, x=ticks is None, y=True)
        if ticks is not None:
            axes.set_xticks(range(len(ticks)), ticks)
            axes.grid(visible=False, axis="x")
        elif not log_x:
            axes.set_xlim(left=0)
        axes.set(xlabel=x_label, ylabel=y_label)
        return canvas.svg()


def bar_plot(
    series: Sequence[Series], ticks: Sequence[str], x_label: str, y_label: str, *, labels: bool = True
) -> str:
    """Groups of bars; `low` and `high` are ignored. A NaN leaves its place empty."""
    with drawing(f"{y_label} by {x_label}: {', '.join(s.label for s in series)}") as canvas:
        axes = canvas.axes
        width = 0.78 / len(series)
        for place, one in enumerate(series):
            x = np.asarray(one.x, dtype=float) + (place - (len(series) - 1) / 2) * width
            bars = axes.bar(x, one.y, width=width * 0.92, color=SERIES[one.colour])
            if labels:
                names = [short(float(y)) if np.isfinite(y) else "" for y in one.y]
                axes.bar_label(bars, names, fontsize=8, color=SOFT, padding=2)
        _axis_numbers(axes, x=False, y=True)
        axes.set_xticks(range(len(ticks)), ticks)
        axes.grid(visible=False, axis="x")
        axes.margins(y=0.12)
        axes.set(xlabel=x_label, ylabel=y_label)
        return canvas.svg()


def profile_plot(values: NDArray[np.integer], even: float, x_label: str, y_label: str, colour: int) -> str:
    """Counts from largest to smallest as a filled step, and the height they would have if all were equal."""
    with drawing(f"{y_label} by {x_label}", height=2.4) as canvas:
        axes = canvas.axes
        ordered = np.sort(values)[::-1]
        edges = np.arange(len(ordered) + 1)
        axes.stairs(ordered, edges, fill=True, color=SERIES[colour], alpha=0.75)
        axes.axhline(even, color=INK, linestyle=(0, (2, 2)), linewidth=1.2)
        axes.annotate(
            "even use",
            (1, even),
            (-2, 3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            fontsize=9,
        )
        axes.margins(x=0)
        axes.set_ylim(bottom=0)
        _axis_numbers(axes, x=True, y=True)
        axes.set(xlabel=x_label, ylabel=y_label)
        return canvas.svg()


def scatter_plot(points: Sequence[Series], x_label: str, y_label: str, *, log_x: bool = False) -> str:
    """One labelled point per series (its first x and y)."""
    with drawing(f"{y_label} by {x_label}: {', '.join(p.label for p in points)}", height=3.2) as canvas:
        axes = canvas.axes
        x = np.array([p.x[0] for p in points], dtype=float)
        y = np.array([p.y[0] for p in points], dtype=float)
        for place, point in enumerate(points):
            axes.plot(x[place], y[place], _MARKERS[point.colour], color=SERIES[point.colour], markersize=8)
        if log_x:
            axes.set_xscale("log")
        axes.margins(x=0.16, y=0.16)
        _axis_numbers(axes, x=True, y=True)
        axes.set(xlabel=x_label, ylabel=y_label)
        _label_points(axes, [p.label for p in points], x, y)
        return canvas.svg()


def _label_points(
    axes: Axes, labels: Sequence[str], x: NDArray[np.floating], y: NDArray[np.floating]
) -> None:
    """Names beside points, each on the first free of a few places around its point."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # fixes the layout, and with it the transform
    points = axes.transData.transform(np.column_stack([x, y])) * 72 / figure.dpi
    frame = axes.get_window_extent().transformed(Affine2D().scale(72 / figure.dpi))
    taken = [Bbox.from_bounds(a - 4, b - 4, 8, 8) for a, b in points]
    for label, (a, b), at in zip(labels, points, zip(x, y, strict=True), strict=True):
        width = 5.2 * len(label)  # points, an upper estimate at this font size
        boxes = [
            (dx, dy, Bbox.from_bounds(a + dx - (width if dx < 0 else 0), b + dy - 5, width, 10))
            for dy in (0, 10, -10, 20, -20, 30, -30)
            for dx in (8, -8)
        ]
        inside = [one for one in boxes if frame.x0 <= one[2].x0 and one[2].x1 <= frame.x1] or boxes
        free = [one for one in inside if not one[2].count_overlaps(taken)]
        dx, dy, box = (free or inside)[0]
        taken.append(box)
        side = "right" if dx < 0 else "left"
        axes.annotate(label, at, (dx, dy), textcoords="offset points", ha=side, va="center", fontsize=9)


def forest_plot(rows: Sequence[Series], x_label: str) -> str:
    """One row per series: y[0] as a dot, low[0] to high[0] as a whisker, and a line at zero."""
    alt = f"{x_label}: {', '.join(row.label for row in rows)}"
    with drawing(alt, height=0.8 + 0.28 * len(rows)) as canvas:
        axes = canvas.axes
        for place, row in enumerate(rows):
            colour = SERIES[row.colour]
            if row.low is not None and row.high is not None:
                axes.hlines(place, row.low[0], row.high[0], color=colour, linewidth=2)
            axes.plot(row.y[0], place, _MARKERS[row.colour], color=colour, markersize=7)
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_yticks(range(len(rows)), [row.label for row in rows])
        axes.tick_params(axis="y", labelcolor=INK, length=0)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value:+.3g}".replace("-", "−") if value else "0")
        )
        axes.set(xlabel=x_label)
        return canvas.svg()


def share_plot(parts: Sequence[Series], x_label: str) -> str:
    """One horizontal bar made of the series' y[0], each part with its number inside where it fits."""
    with drawing(f"{x_label}: {', '.join(p.label for p in parts)}", height=1.3) as canvas:
        axes = canvas.axes
        total = sum(float(part.y[0]) for part in parts) or 1.0
        start = 0.0
        for part in parts:
            size = float(part.y[0])
            axes.barh(0, size, left=start, height=0.6, color=SERIES[part.colour])
            if size / total > 0.06:
                axes.annotate(f"{size:.0f}", (start + size / 2, 0.42), ha="center", va="bottom", fontsize=10)
            start += size
        axes.set_ylim(-0.35, 0.8)
        axes.set_yticks([])
        axes.margins(x=0)
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
        _axis_numbers(axes, x=True, y=False)
        axes.set(xlabel=x_label)
        return canvas.svg()


def path_plot(paths: Sequence[Series], names: Sequence[Sequence[str]], x_label: str, y_label: str) -> str:
    """Points joined in their order, as a setting moves two figures at once, each with the setting beside it.

    Where there is no room for a name it is left out; the ends of a path come first.

    Args:
        paths: x and y [n] each; a band is drawn where there is an interval of y.
        names: of the points of each path [n].
    """
    with drawing(f"{y_label} against {x_label}: {', '.join(p.label for p in paths)}", height=3.6) as canvas:
        axes = canvas.axes
        for one in paths:
            colour = SERIES[one.colour]
            axes.plot(one.x, one.y, color=colour, marker=_MARKERS[one.colour])
            if one.low is not None and one.high is not None:
                axes.fill_between(np.asarray(one.x), one.low, one.high, color=colour, alpha=0.12, linewidth=0)
        axes.margins(x=0.08, y=0.12)
        _axis_numbers(axes, x=True, y=True)
        axes.set(xlabel=x_label, ylabel=y_label)
        _name_along(axes, paths, names)
        return canvas.svg()


def _name_along(axes: Axes, paths: Sequence[Series], names: Sequence[Sequence[str]]) -> None:
    """Names above the points of the first path and below those of the others; the last stands beside its point."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # fixes the layout, and with it the transform
    places = [axes.transData.transform(np.column_stack([p.x, p.y])) * 72 / figure.dpi for p in paths]
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for several in places for x, y in several]
    for number, (one, several) in enumerate(zip(paths, names, strict=True)):
        last = len(several) - 1
        for n in (0, *range(last, 0, -1)):
            width = 5.2 * len(several[n])  # points, an upper estimate at this font size
            dx, dy = (7 + width / 2, 0) if n == last else (0, -11 if number else 11)
            x, y = places[number][n] + (dx, dy)
            box = Bbox.from_bounds(x - width / 2, y - 5, width, 10)
            if box.count_overlaps(taken):
                continue
            taken.append(box)
            at, shift = (float(one.x[n]), float(one.y[n])), (dx, dy)
            axes.annotate(several[n], at, shift, textcoords="offset points", ha="center", va="center", size=9)
