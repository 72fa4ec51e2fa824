"""The report of a pipeline: against recall alone, what each stage keeps, what it costs, what diversity costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genrec.evaluation.comparison import Comparison, flat_metrics, write_metrics
from genrec.evaluation.diversity import Point, flat_curve, trade_off_section
from genrec.evaluation.page import Block, Cell, Section, Table, Tile, Tiles, Tone, write_page


@dataclass(frozen=True)
class StageRecall:
    """What a stage leaves.

    Attributes:
        stage: its name.
        candidates: items per user, in the mean.
        share: of the targets that are among them.
    """

    stage: str
    candidates: float
    share: float


@dataclass(frozen=True)
class Latency:
    """Milliseconds of a stage for a single user: median and 99th percentile of wall time and of processor time."""

    stage: str
    p50: float
    p99: float
    cpu_p50: float
    cpu_p99: float


@dataclass(frozen=True)
class PipelineFigures:
    """Everything about one part.

    Attributes:
        comparison: of the pipeline with its recall alone, the reference.
        stages: in their order.
        curve: by λ of MMR; may be empty.
        latency: by stage, and in all; may be empty.
        k: cut-off of the headline figures.
    """

    comparison: Comparison
    stages: Sequence[StageRecall]
    curve: Sequence[Point] = ()
    latency: Sequence[Latency] = ()
    k: int = 10


def flat_pipeline_metrics(figures: PipelineFigures) -> dict[str, float]:
    """The numbers under flat keys.

    Those of `flat_metrics`, `<part>/pipeline/masked/lambda/…` of the curve, `<part>/pipeline/stage/<stage>/recall` and
    `…/candidates`, and `time/<part>/pipeline/<stage>/p50_ms`, `p99_ms`, `cpu_p50_ms`, `cpu_p99_ms`.
    """
    part = figures.comparison.part
    where = f"{part}/pipeline"
    flat = flat_metrics(figures.comparison) | flat_curve(figures.curve, f"{where}/masked", figures.k)
    for one in figures.stages:
        flat |= {
            f"{where}/stage/{one.stage}/recall": one.share,
            f"{where}/stage/{one.stage}/candidates": one.candidates,
        }
    for spent in figures.latency:
        start = f"time/{where}/{spent.stage}"
        flat |= {
            f"{start}/p50_ms": spent.p50,
            f"{start}/p99_ms": spent.p99,
            f"{start}/cpu_p50_ms": spent.cpu_p50,
            f"{start}/cpu_p99_ms": spent.cpu_p99,
        }
    return flat


def write_pipeline_report(
    folder: Path,
    figures: Sequence[PipelineFigures],
    title: str,
    facts: Mapping[str, str],
    extra: Mapping[str, float] | None = None,
) -> Path:
    """Write `metrics.json` and `pipeline.html` into `folder`; the page's path.

    Args:
        folder: of the results.
        figures: of each part.
        title: of the page.
        facts: data and settings, for the page.
        extra: further flat numbers.
    """
    flat = {name: value for one in figures for name, value in flat_pipeline_metrics(one).items()}
    write_metrics(folder, flat | dict(extra or {}))
    sections = [section for one in figures for section in pipeline_sections(one)]
    settings = Table(("Setting", "Value"), tuple(facts.items()), prose=True)
    sections.append(Section("Data and settings", (settings,)))
    return write_page(folder / "pipeline.html", title, sections)


def pipeline_sections(figures: PipelineFigures) -> list[Section]:
    """What there is to show of a part."""
    part = figures.comparison.part
    blocks: list[Block] = [_tiles(figures), _accuracy(figures), _kept(figures)]
    if figures.latency:
        blocks.append(_times(figures))
    users = len(figures.comparison.evaluations[0].recommendations.users)
    intro = f"{users:,} users, history masked, full catalogue. Intervals are paired: the same draws of users for both."
    sections = [Section(f"Pipeline on {part}", tuple(blocks), intro)]
    if figures.curve:
        curve = trade_off_section({f"pipeline, {part}": figures.curve}, figures.k)
        sections.append(Section(f"{curve.title} on {part}", curve.blocks, curve.intro))
    return sections


def pipeline_text(figures: PipelineFigures) -> str:
    """The main figures for a terminal."""
    name, compared = f"ndcg@{figures.k}", figures.comparison
    own, apart = compared.intervals, compared.differences["pipeline", True][name]
    lines = [f"{compared.part:<10} {name:>9} {'interval':>15}"]
    for one in compared.evaluations:
        ends = own[one.method, True][name]
        lines.append(f"  {one.method:<8} {ends.mean:>9.4f} {ends.low:>7.4f}-{ends.high:.4f}")
    lines.append(f"  {'apart':<8} {apart.mean:>+9.4f} {apart.low:>+7.4f} to {apart.high:+.4f}")
    lines.append("  targets left: " + ", ".join(f"{s.stage} {s.share:.1%}" for s in figures.stages))
    lines.extend(
        f"  {spent.stage:<8} p50 {spent.p50:>6.1f} ms, p99 {spent.p99:>6.1f} ms; processor {spent.cpu_p50:>6.1f}, "
        f"{spent.cpu_p99:>6.1f} ms"
        for spent in figures.latency
    )
    return "\n".join(lines)


def _tiles(figures: PipelineFigures) -> Tiles:
    compared, name = figures.comparison, f"ndcg@{figures.k}"
    own, alone = (compared.intervals[method, True][name] for method in ("pipeline", compared.reference))
    apart = compared.differences["pipeline", True][name]
    tiles = [
        Tile(f"NDCG@{figures.k}", f"{own.mean:.4f}", f"recall alone {alone.mean:.4f}"),
        Tile("Against recall", f"{apart.mean:+.4f}", f"95 % interval {apart.low:+.4f} to {apart.high:+.4f}"),
    ]
    total = [one for one in figures.latency if one.stage == "total"]
    tiles += [Tile("One user, p50", f"{one.p50:.1f} ms", f"p99 {one.p99:.1f} ms") for one in total]
    return Tiles(tuple(tiles))


def _accuracy(figures: PipelineFigures) -> Table:
    compared, k = figures.comparison, figures.k
    names = [f"{name}@{k}" for name in ("recall", "ndcg", "ild", "coverage", "novelty")]
    known = [name for name in names if name in compared.evaluations[0].summary]
    rows = []
    for one in compared.evaluations:
        cells: list[Cell | str] = [one.method, *(f"{one.summary[name]:.4f}" for name in known)]
        apart = compared.differences.get((one.method, True), {}).get(f"ndcg@{k}")
        tone: Tone = "" if apart is None else "good" if apart.low > 0 else "bad" if apart.high < 0 else ""
        text = "–" if apart is None else f"{apart.mean:+.4f} [{apart.low:+.4f}, {apart.high:+.4f}]"
        rows.append((*cells, Cell(text.replace("-", "−"), tone)))
    columns = ("Method", *(name.replace("ild", "diversity") for name in known), "Δ NDCG to recall alone")
    caption = "Δ is coloured where its paired 95 % interval excludes zero."
    return Table(columns, tuple(rows), title="Accuracy and what is beyond it", caption=caption)


def _kept(figures: PipelineFigures) -> Table:
    rows = tuple((one.stage, f"{one.candidates:.0f}", f"{one.share:.1%}") for one in figures.stages)
    caption = "Share of the held-out items that are still among the candidates after each stage."
    return Table(
        ("Stage", "Items per user", "Targets left"), rows, title="What each stage keeps", caption=caption
    )


def _times(figures: PipelineFigures) -> Table:
    rows = tuple(
        (one.stage, *(f"{value:.2f}" for value in (one.p50, one.p99, one.cpu_p50, one.cpu_p99)))
        for one in figures.latency
    )
    columns = ("Stage", "p50 ms", "p99 ms", "p50 processor ms", "p99 processor ms")
    caption = "Single users, one after the other, after loading."
    return Table(columns, rows, title="Latency", caption=caption)
