"""What a tokenizer's quality looks like: tables and plots for its own page and for the recall report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from genrec.evaluation.page import Block, Cell, Figure, Key, Section, Table, Text
from genrec.evaluation.plots import Series, line_plot, profile_plot, short
from genrec.evaluation.svg import N_COLOURS


@dataclass(frozen=True)
class TokenizerQuality:
    """Quality of semantic ids over the whole catalogue; whatever is empty is left out of the page.

    Attributes:
        name: the tokenizer and its settings in one line.
        figures: label with unit -> number, in the order of the table.
        usage: per level, items per code [K_l].
        reconstruction: error left after 0, 1, ..., L levels [L + 1].
        purity: attribute such as `genre` -> mean similarity of two items that share a prefix, by its depth 1, 2, ...
        purity_by_chance: the same for ids dealt out at random [L].
        losses: name -> (step, value) arrays of equal length.
        examples: item title -> its semantic id, as text.
    """

    name: str
    figures: Mapping[str, float] = field(default_factory=dict)
    usage: Sequence[NDArray[np.integer]] = ()
    reconstruction: Sequence[float] = ()
    purity: Mapping[str, Sequence[float]] = field(default_factory=dict)
    purity_by_chance: Mapping[str, Sequence[float]] = field(default_factory=dict)
    losses: Mapping[str, tuple[Sequence[float], Sequence[float]]] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)


LABELS = {
    "collision_rate_before": "Collisions of nearest codes (share of items)",
    "largest_group": "Largest group of items on one id, before",
    "collision_rate": "Collisions after handling",
    "moved": "Items moved off their nearest codes",
    "reconstruction_error": "Variance of the features that is lost",
}


def readable_figures(figures: Mapping[str, float]) -> dict[str, float]:
    """Figures of the whole id under names for people; those per level have a table of their own."""
    return {LABELS[name]: value for name, value in figures.items() if name in LABELS}


def quality_section(quality: TokenizerQuality, title: str = "Tokenizer quality") -> Section:
    """Everything known about the tokenizer, as one section."""
    blocks: list[Block] = []
    if quality.figures:
        rows = tuple((Cell(label), _number(value)) for label, value in quality.figures.items())
        blocks.append(Table(("Figure", "Value"), rows, "Figures over the whole catalogue, not over a batch."))
    if quality.usage:
        blocks += [_usage_table(quality.usage), *usage_figures(quality.usage)]
    if len(quality.reconstruction):
        blocks.append(reconstruction_figure(quality.reconstruction))
    if quality.purity:
        blocks.append(purity_figure(quality.purity, quality.purity_by_chance))
    if quality.losses:
        blocks.append(loss_figure(quality.losses))
    if quality.examples:
        blocks.append(_examples(quality.examples))
    return Section(title, tuple(blocks) or (Text("No figures were recorded."),), quality.name)


def _usage_table(usage: Sequence[NDArray[np.integer]]) -> Table:
    """Usage, perplexity and dead codes of every level."""
    rows = []
    for level, counts in enumerate(usage, start=1):
        share = counts / max(int(counts.sum()), 1)
        entropy = -float((share * np.log(np.where(share > 0, share, 1.0))).sum())
        dead = int((counts == 0).sum())
        used = (len(counts) - dead) / len(counts)
        cells = (f"{len(counts)}", f"{used:.1%}", f"{np.exp(entropy):.1f}", f"{dead}", f"{counts.max()}")
        rows.append((Cell(f"Level {level}"), *cells))
    caption = (
        "Perplexity is the number of equally used codes that would carry as much information; close to the "
        "number of codes is good. Largest: items on the code used most."
    )
    return Table(("Level", "Codes", "Used", "Perplexity", "Dead", "Largest"), tuple(rows), caption)


def usage_figures(usage: Sequence[NDArray[np.integer]]) -> tuple[Figure, ...]:
    """One profile per level: items per code, codes from most to least used."""
    return tuple(
        Figure(
            title=f"Level {level}: items per code",
            svg=profile_plot(
                counts, float(counts.mean()), "codes, most used first", "items", (level - 1) % (N_COLOURS - 2)
            ),
            caption="Flat near the dashed line: every code is used alike; a steep start and an empty tail: few "
            "codes carry the level.",
        )
        for level, counts in enumerate(usage, start=1)
    )


def reconstruction_figure(errors: Sequence[float]) -> Figure:
    """Error left after each level."""
    depth = list(range(len(errors)))
    numbers = Table(
        ("Levels used", "Error left"), tuple((str(d), f"{e:.4g}") for d, e in zip(depth, errors, strict=True))
    )
    return Figure(
        title="Reconstruction error by depth",
        svg=line_plot(
            [Series("error left", depth, errors, 0)], "levels used", "error left", ticks=_names(depth)
        ),
        caption="Each level should take a visible step down; a flat level adds codes but no information.",
        numbers=numbers,
    )


def purity_figure(
    purity: Mapping[str, Sequence[float]], by_chance: Mapping[str, Sequence[float]] | None = None
) -> Figure:
    """Purity of the groups that share a prefix, by the prefix's length, against random ids if given."""
    series, keys = [], []
    for colour, (name, values) in enumerate(purity.items()):
        series.append(Series(name, range(len(values)), values, colour % N_COLOURS))
        keys.append(Key(name, colour % N_COLOURS))
        chance = (by_chance or {}).get(name)
        if chance is not None:
            series.append(Series(f"{name}, random ids", range(len(chance)), chance, 8, dashed=True))
            keys.append(Key(f"{name}, random ids", 8, dashed=True))
    depth = max(len(values) for values in purity.values())
    columns = ("Series", *(f"Depth {d}" for d in range(1, depth + 1)))
    rows = tuple((s.label, *(f"{v:.3f}" for v in s.y), *[""] * (depth - len(s.y))) for s in series)
    return Figure(
        title="Similarity by prefix depth",
        svg=line_plot(series, "prefix length", "similarity", ticks=_names(range(1, depth + 1))),
        caption="How alike two items with the same prefix are, on average: above the random line, nearby ids "
        "mean similar items.",
        keys=tuple(keys),
        numbers=Table(columns, rows),
    )


def loss_figure(losses: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Figure:
    """Loss curves, logarithmic where all values are positive."""
    series = [
        Series(name, steps, values, colour % N_COLOURS)
        for colour, (name, (steps, values)) in enumerate(losses.items())
    ]
    positive = all(min(values, default=1.0) > 0 for _, values in losses.values())
    return Figure(
        title="Loss curves",
        svg=line_plot(series, "step", "loss", log_y=positive, markers=False, from_zero=False),
        caption="Still falling at the right edge: train longer. Training falls while validation rises: it overfits.",
        keys=tuple(Key(one.label, one.colour) for one in series),
    )


def _examples(examples: Mapping[str, str]) -> Table:
    rows = tuple((Cell(title), code) for title, code in examples.items())
    return Table(
        ("Item", "Semantic id"), rows, title="Examples of items and their ids", folded=True, prose=True
    )


def _number(value: float) -> str:
    """Counts in full, other numbers in few characters."""
    return f"{value:,.0f}" if float(value).is_integer() else short(value)


def _names(values: Sequence[int]) -> list[str]:
    return [str(value) for value in values]
