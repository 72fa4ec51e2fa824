"""Tokenizers side by side: quality of their ids, and the recall of a model trained on each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from genrec.artifacts import atomic_path
from genrec.evaluation.comparison import write_metrics
from genrec.evaluation.page import Block, Cell, Figure, Key, Section, Table, write_page
from genrec.evaluation.plots import Series, line_plot, short
from genrec.evaluation.svg import N_COLOURS

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Candidate:
    """One tokenizer and what came of it.

    Attributes:
        name: in tables and keys.
        ids: what made the ids and how long they are, in one line.
        features: what the tokenizer read, in one line.
        quality: figures of the ids: `usage/0`, `collision_rate`, `error/1`, ...
        recall: figures of the model trained on them: `valid/generative/ndcg@10`, `time/train_seconds`, ...
        failure: why there are none, in one sentence.
    """

    name: str
    ids: str = ""
    features: str = ""
    quality: Figures = field(default_factory=dict)
    recall: Figures = field(default_factory=dict)
    failure: str = ""


@dataclass(frozen=True)
class Column:
    """A figure of a whole tokenizer.

    Attributes:
        title: in print.
        value: from a candidate's quality and recall; NaN where it has none.
        form: how it is printed.
        best: the function that finds the best of them, or None where neither more nor less is better.
    """

    title: str
    value: Callable[[Figures, Figures], float]
    form: str
    best: Callable[[Sequence[float]], float] | None = None


def levels(figures: Figures, name: str) -> list[float]:
    """The values of `name/0`, `name/1`, ... in order."""
    found = {
        int(key.rpartition("/")[2]): value for key, value in figures.items() if key.startswith(f"{name}/")
    }
    return [found[level] for level in sorted(found)]


def _lowest(name: str) -> Callable[[Figures, Figures], float]:
    return lambda quality, _: min(levels(quality, name), default=np.nan)


def _highest(name: str) -> Callable[[Figures, Figures], float]:
    return lambda quality, _: max(levels(quality, name), default=np.nan)


def _quality(name: str) -> Callable[[Figures, Figures], float]:
    return lambda quality, _: quality.get(name, np.nan)


def _recall(name: str) -> Callable[[Figures, Figures], float]:
    return lambda _, recall: recall.get(name, np.nan)


QUALITY = (
    Column("Used", _lowest("usage"), "{:.0%}"),
    Column("Perplexity", _lowest("perplexity"), "{:.1f}"),
    Column("Gini", _highest("gini"), "{:.2f}"),
    Column("Collisions", _quality("collision_rate_before"), "{:.1%}"),
    Column("after", _quality("collision_rate"), "{:.1%}"),
    Column("Largest", _quality("largest_group"), "{:.0f}"),
    Column("Error", _quality("reconstruction_error"), "{:.3f}", min),
    Column("Purity", _quality("purity/1"), "{:.3f}", max),
)
PARTS = (
    ("valid", "valid/generative", "valid/embedding"),
    ("test", "test/generative/masked", "test/embedding/masked"),
)


def columns(candidates: Sequence[Candidate], k: int) -> list[Column]:
    """Quality, then recall on the parts that were judged, at one cut-off."""
    found = list(QUALITY)
    for part, generated, embedded in PARTS:
        if any(f"{generated}/ndcg@{k}" in one.recall for one in candidates):
            found += [
                Column(f"{part} R@{k}", _recall(f"{generated}/recall@{k}"), "{:.4f}", max),
                Column(f"{part} N@{k}", _recall(f"{generated}/ndcg@{k}"), "{:.4f}", max),
                Column(f"{part} dense N@{k}", _recall(f"{embedded}/ndcg@{k}"), "{:.4f}", max),
            ]
    return [*found, Column("Train s", _recall("time/train_seconds"), "{:.0f}")]


def printed(column: Column, one: Candidate) -> str:
    """A candidate's figure, or a dash."""
    value = column.value(one.quality, one.recall)
    return column.form.format(value) if np.isfinite(value) else "–"


def text_table(candidates: Sequence[Candidate], k: int) -> str:
    """All candidates for a terminal, best validation NDCG first, failures below."""
    shown = ranked(candidates, k)
    cols = columns(shown, k)
    name_width = max((len(one.name) for one in shown), default=0)
    ids_width = max((len(one.ids) for one in shown), default=0)
    widths = [max(len(col.title), 7) for col in cols]
    titles = "  ".join(f"{col.title:>{width}}" for col, width in zip(cols, widths, strict=True))
    lines = [f"{'tokenizer':<{name_width}}  {'ids':<{ids_width}}  {titles}"]
    for one in shown:
        cells = "  ".join(f"{printed(col, one):>{width}}" for col, width in zip(cols, widths, strict=True))
        lines.append(f"{one.name:<{name_width}}  {one.ids:<{ids_width}}  {cells}")
    return "\n".join([*lines, *(f"{one.name}: {one.failure}" for one in candidates if one.failure)])


def ranked(candidates: Sequence[Candidate], k: int) -> list[Candidate]:
    """Those that did not fail, best validation NDCG first."""
    done = [one for one in candidates if not one.failure]
    return sorted(done, key=lambda one: -one.recall.get(f"valid/generative/ndcg@{k}", 0.0))


def flat_figures(candidates: Sequence[Candidate]) -> dict[str, float]:
    """`tokenizer/<name>/<figure>` and `<part>/<name>[-<method>]/masked/<metric>@<k>`, `time/<name>/train_seconds`."""
    flat: dict[str, float] = {}
    for one in candidates:
        flat |= {f"tokenizer/{one.name}/{name}": value for name, value in one.quality.items()}
        for name, value in one.recall.items():
            part, _, rest = name.partition("/")
            method, _, metric = rest.partition("/")
            if part in ("valid", "test") and metric:
                suffix = "" if method == "generative" else f"-{method}"
                masking = metric if metric.startswith(("masked/", "unmasked/")) else f"masked/{metric}"
                flat[f"{part}/{one.name}{suffix}/{masking}"] = value
            else:
                flat[f"{part}/{one.name}/{rest}"] = value
    return flat


def write_comparison(
    folder: Path, candidates: Sequence[Candidate], k: int, title: str, facts: Mapping[str, str]
) -> Path:
    """Write `metrics.json`, `metrics.csv` and `tokenizers.html`; returns the page's path."""
    write_metrics(folder, flat_figures(candidates))
    shown = ranked(candidates, k)
    rows = [
        {"tokenizer": one.name, "ids": one.ids, "features": one.features}
        | {col.title: col.value(one.quality, one.recall) for col in columns(shown, k)}
        for one in shown
    ]
    with atomic_path(folder / "metrics.csv") as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, float_format="%.6g")
    return write_page(folder / "tokenizers.html", title, sections(candidates, k, facts))


def sections(candidates: Sequence[Candidate], k: int, facts: Mapping[str, str]) -> list[Section]:
    """The table, the curves by depth, the levels, and where it all comes from."""
    shown = ranked(candidates, k)
    intro = (
        f"The same model, trained on the ids of each tokenizer with the same budget; R@{k} and N@{k} are recall and "
        "NDCG of generated items, history masked, dense those of the embedding head beside it."
    )
    found = [Section("Tokenizers", (_main_table(shown, k),), intro)]
    curves = [
        block
        for block in (
            _curves(shown, "error", "Error by depth", "share of variance left", 0),
            _curves(shown, "purity", "Genre similarity by prefix depth", "similarity", 0),
        )
        if block is not None
    ]
    if curves:
        found.append(Section("By depth", tuple(curves)))
    found.append(Section("By level", tuple(_level_table(one) for one in shown)))
    described = tuple((one.name, one.ids, one.features) for one in shown)
    settings: list[Block] = [Table(("Tokenizer", "Ids", "Features"), described, prose=True)]
    failed = tuple((one.name, one.failure) for one in candidates if one.failure)
    if failed:
        settings.append(Table(("Tokenizer", "Failed with"), failed, prose=True))
    settings.append(Table(("Setting", "Value"), tuple(facts.items()), prose=True))
    return [*found, Section("Data and settings", tuple(settings))]


def _main_table(shown: Sequence[Candidate], k: int) -> Table:
    cols = columns(shown, k)
    best = {}
    for col in cols:
        texts = [printed(col, one) for one in shown]
        known = [
            value for value in (col.value(one.quality, one.recall) for one in shown) if np.isfinite(value)
        ]
        if col.best is not None and known:
            best[col.title] = next(
                text
                for text, one in zip(texts, shown, strict=True)
                if col.value(one.quality, one.recall) == col.best(known)
            )
    rows = tuple(
        (
            Cell(one.name, hint=f"{one.ids}; {one.features}"),
            *(
                Cell(text, "best" if best.get(col.title) == text else "")
                for col in cols
                for text in [printed(col, one)]
            ),
        )
        for one in shown
    )
    caption = (
        "Used, Perplexity: the lowest of all levels; Gini: the highest. Collisions: share of items whose nearest codes "
        "another item has, and after handling; Largest: items on one id, before. Error: share of the features' "
        "variance that whole ids lose (an RQ-VAE: of the standardised features). Purity: genre similarity of two items "
        "that share the first code. Error and Purity compare tokenizers that read the same features only."
    )
    return Table(("Tokenizer", *(col.title for col in cols)), rows, caption)


def _curves(shown: Sequence[Candidate], name: str, title: str, y_label: str, first: int) -> Figure | None:
    """One line per candidate over depths; None where nobody has the figure."""
    known = [(one, levels(one.quality, name)) for one in shown if len(levels(one.quality, name)) > 1]
    if not known:
        return None
    deepest = max(len(values) for _, values in known)
    series = [
        Series(one.name, range(first, first + len(values)), values, colour % N_COLOURS)
        for colour, (one, values) in enumerate(known)
    ]
    header = ("Tokenizer", *(str(depth) for depth in range(first, first + deepest)))
    rows = tuple((one.name, *map(short, values), *[""] * (deepest - len(values))) for one, values in known)
    return Figure(
        title=title,
        svg=line_plot(series, "codes known", y_label, ticks=header[1:]),
        caption="From no code to the whole id; tokenizers with longer ids take smaller steps.",
        keys=tuple(Key(one.label, one.colour) for one in series),
        numbers=Table(header, rows),
    )


def _level_table(one: Candidate) -> Table:
    names = ("usage", "perplexity", "dead", "gini")
    values = [levels(one.quality, name) for name in names]
    rows = tuple(
        (f"Level {level}", f"{used:.1%}", f"{perplexity:.1f}", f"{dead:.0f}", f"{gini:.2f}")
        for level, (used, perplexity, dead, gini) in enumerate(zip(*values, strict=True), start=1)
    )
    return Table(("Level", "Used", "Perplexity", "Dead", "Gini"), rows, title=one.name, folded=True)
