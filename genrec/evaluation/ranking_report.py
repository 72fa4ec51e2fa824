"""The comparison of rankers as files: `metrics.json`, a page, and a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from genrec.evaluation.comparison import write_metrics
from genrec.evaluation.page import Block, Cell, Figure, Key, Section, Table, Tone, write_page
from genrec.evaluation.plots import Series, line_plot
from genrec.evaluation.ranking_comparison import RankingComparison
from genrec.evaluation.significance import Interval
from genrec.evaluation.svg import N_COLOURS

LOWER_IS_BETTER = {"logloss", "ece"}


def flat_ranking_metrics(comparison: RankingComparison) -> dict[str, float]:
    """The numbers under flat keys.

    `<part>/<ranker>/<metric>` and `<part>/<ranker>/<metric>/minus_<reference>`, both with `…/low` and `…/high`, and
    `time/<part>/<ranker>/seconds` and `…/rows_per_second`.
    """
    flat: dict[str, float] = {}
    for name, figures in comparison.figures.items():
        where = f"{comparison.part}/{name}"
        for metric, own in figures.items():
            flat |= _with_ends(f"{where}/{metric}", own)
        for metric, apart in comparison.differences.get(name, {}).items():
            flat |= _with_ends(f"{where}/{metric}/minus_{comparison.reference}", apart)
        flat[f"time/{where}/seconds"] = comparison.seconds[name]
        flat[f"time/{where}/rows_per_second"] = comparison.rows / comparison.seconds[name]
    return flat


def _with_ends(key: str, interval: Interval) -> dict[str, float]:
    return {key: interval.mean, f"{key}/low": interval.low, f"{key}/high": interval.high}


def ranking_text_table(comparison: RankingComparison) -> str:
    """All figures for a terminal, best AUC first."""
    metrics = comparison.metrics
    width = max(len("ranker"), *(len(name) for name in comparison.figures))
    lines = [
        f"{'ranker':<{width}}" + "".join(f"{metric:>14}" for metric in metrics) + f"{'AUC interval':>18}"
    ]
    for name in _ranked(comparison):
        own = comparison.figures[name]
        cells = "".join(f"{own[metric].mean:>14.4f}" for metric in metrics)
        lines.append(f"{name:<{width}}{cells}{own['auc'].low:>10.4f}-{own['auc'].high:.4f}")
    return "\n".join(lines)


def write_ranking_report(
    folder: Path, comparisons: Sequence[RankingComparison], title: str, facts: Mapping[str, str]
) -> Path:
    """Write `metrics.json` and `ranking.html` into `folder`; the page's path."""
    write_metrics(folder, {key: v for one in comparisons for key, v in flat_ranking_metrics(one).items()})
    sections = [section for one in comparisons for section in _sections(one)]
    sections.append(
        Section("Data and settings", (Table(("Setting", "Value"), tuple(facts.items()), prose=True),))
    )
    return write_page(folder / "ranking.html", title, sections)


def _sections(comparison: RankingComparison) -> list[Section]:
    intro = (
        f"{comparison.rows:,} rows of {comparison.users:,} users, {comparison.good:.1%} of them good. GAUC: AUC within "
        "users, weighted by rows. Lists are a user's rows by score, for users with good rows and others."
    )
    blocks: tuple[Block, ...] = (
        _figures_table(comparison),
        *_differences_table(comparison),
        _reliability_figure(comparison),
    )
    return [Section(f"Rankers on {comparison.part}", blocks, intro)]


def _ranked(comparison: RankingComparison) -> list[str]:
    return sorted(comparison.figures, key=lambda name: -comparison.figures[name]["auc"].mean)


def _figures_table(comparison: RankingComparison) -> Table:
    best = {
        metric: (min if metric in LOWER_IS_BETTER else max)(
            own[metric].mean for own in comparison.figures.values()
        )
        for metric in comparison.metrics
    }
    rows: tuple[tuple[Cell | str, ...], ...] = tuple(
        (
            name,
            *(
                Cell(
                    f"{one.mean:.4f}",
                    "best" if one.mean == best[metric] else "",
                    f"{one.low:.4f} to {one.high:.4f}",
                )
                for metric, one in comparison.figures[name].items()
            ),
        )
        for name in _ranked(comparison)
    )
    caption = "Hover a figure for its bootstrap interval over users. Of logloss and ece, less is better."
    return Table(("Ranker", *comparison.metrics), rows, caption)


def _differences_table(comparison: RankingComparison) -> tuple[Table, ...]:
    if not comparison.differences:
        return ()
    rows: tuple[tuple[Cell | str, ...], ...] = tuple(
        (name, *(_difference(metric, one) for metric, one in comparison.differences[name].items()))
        for name in _ranked(comparison)
        if name in comparison.differences
    )
    title = f"Minus {comparison.reference}"
    return (Table(("Ranker", *comparison.metrics), rows, "Coloured where the interval excludes 0.", title),)


def _difference(metric: str, one: Interval) -> Cell:
    better = (one.mean < 0) == (metric in LOWER_IS_BETTER)
    tone: Tone = "quiet" if not one.excludes_zero else "good" if better else "bad"
    return Cell(f"{one.mean:+.4f}", tone, f"{one.low:+.4f} to {one.high:+.4f}")


def _reliability_figure(comparison: RankingComparison) -> Figure:
    series = []
    for number, (name, one) in enumerate(comparison.reliability.items()):
        filled = one.counts > 0
        series.append(Series(name, one.predicted[filled], one.observed[filled], number % N_COLOURS))
    return Figure(
        title="Calibration",
        svg=line_plot(series, "predicted probability", "share of good rows"),
        caption="On the diagonal, probabilities hold.",
        keys=tuple(Key(one.label, one.colour) for one in series),
    )
