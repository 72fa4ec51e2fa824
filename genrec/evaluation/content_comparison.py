"""What the ids know, by what they were made from: recall over several seeds, and quality of the ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

from scipy.stats import t as student

from genrec.evaluation.page import Cell, Section, Table

Runs = Sequence[Mapping[str, float]]

RECALL = {
    "Recall@10": "test/generative/masked/recall@10",
    "NDCG@10": "test/generative/masked/ndcg@10",
    "rare Recall@10": "test/generative/masked/rare/recall@10",
    "cold Recall@10": "test/generative/masked/cold/recall@10",
}
QUALITY = {
    "genres, 1 code": "tokenizer/purity/1",
    "2 codes": "tokenizer/purity/2",
    "collisions": "tokenizer/collision_rate_before",
}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval by Student's law; 0 for a single value."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, 0.0
    spread = sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return mean, float(student.ppf(0.975, len(values) - 1)) * spread / sqrt(len(values))


def paired(runs: Runs, reference: Runs, name: str) -> list[float]:
    """Differences seed by seed."""
    return [one[name] - other[name] for one, other in zip(runs, reference, strict=True)]


def flat_figures(variants: Mapping[str, Runs], reference: str) -> dict[str, float]:
    """`<variant>/<figure>` with `…/low` and `…/high` over seeds, and `…/minus_<reference>` for recall."""
    flat: dict[str, float] = {}
    for variant, runs in variants.items():
        for name in [*RECALL.values(), *QUALITY.values()]:
            if all(name in run for run in runs):
                flat |= _with_bounds(f"{variant}/{name}", [run[name] for run in runs])
        for name in RECALL.values():
            if variant != reference and all(name in run for run in [*runs, *variants[reference]]):
                key = f"{variant}/{name}/minus_{reference}"
                flat |= _with_bounds(key, paired(runs, variants[reference], name))
    return flat


def _with_bounds(key: str, values: Sequence[float]) -> dict[str, float]:
    mean, half = interval(values)
    return {key: mean, f"{key}/low": mean - half, f"{key}/high": mean + half}


def rows(flat: Mapping[str, float], variants: Sequence[str], reference: str) -> list[list[str]]:
    """One row per variant: its name, recall with intervals, the difference in NDCG, quality."""
    found = []
    for variant in variants:
        row = [variant, *(_shown(flat, f"{variant}/{name}") for name in RECALL.values())]
        row.append(_shown(flat, f"{variant}/{RECALL['NDCG@10']}/minus_{reference}", sign="+"))
        row += [_plain(flat, f"{variant}/{name}") for name in QUALITY.values()]
        found.append(row)
    return found


def headings(reference: str) -> list[str]:
    """Of `rows`."""
    return ["ids made from", *RECALL, f"− {reference}", *QUALITY]


def _shown(flat: Mapping[str, float], key: str, sign: str = "") -> str:
    if key not in flat:
        return "-"
    return f"{flat[key]:{sign}.4f} ± {flat[f'{key}/high'] - flat[key]:.4f}"


def _plain(flat: Mapping[str, float], key: str) -> str:
    return f"{flat[key]:.3f}" if key in flat else "-"


def text_table(flat: Mapping[str, float], variants: Sequence[str], reference: str) -> str:
    """For a terminal."""
    table = [headings(reference), *rows(flat, variants, reference)]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def content_section(flat: Mapping[str, float], variants: Sequence[str], reference: str) -> Section:
    """For a page; a difference whose interval leaves out 0 is coloured."""
    place = len(RECALL) + 1
    body = []
    for variant, row in zip(variants, rows(flat, variants, reference), strict=True):
        cells: list[Cell | str] = list(row)
        key = f"{variant}/{RECALL['NDCG@10']}/minus_{reference}"
        if flat.get(f"{key}/low", 0.0) > 0:
            cells[place] = Cell(row[place], "good")
        if flat.get(f"{key}/high", 0.0) < 0:
            cells[place] = Cell(row[place], "bad")
        body.append(tuple(cells))
    caption = (
        f"Mean over seeds and its 95 % interval. − {reference} is the difference in NDCG@10, taken seed by seed. Rare "
        "targets have 1 to 9 training events, cold ones none. Genres: mean cosine of those of two items that share "
        "their first codes."
    )
    return Section("What the ids are made from", (Table(tuple(headings(reference)), tuple(body), caption),))
