"""A trace: for every final item who proposed it and at which rank, what every stage said of it, what MMR traded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from genrec.data.tables import NO_TIMESTAMP
from genrec.stages import Run, Stage, World

RawId = int | str


@dataclass(frozen=True)
class Said:
    """What a stage said of an item: its place in the order that the stage left, 1 is best, and its score."""

    rank: int
    score: float


@dataclass(frozen=True)
class TracedItem:
    """A final item.

    Attributes:
        item_id: raw id.
        title: of the item table.
        year: None where unknown.
        genres: of the item table.
        recallers: rank in the list of each recaller that proposed it, 1 is best.
        stages: what each stage said of it, by the stage's name, in their order.
        figures: of the stages, by `<stage or re-ranker>/<figure>`: `rank/probability`, `mmr/relevance`.
        neighbour: raw id of the item above it that it is most similar to, as MMR found; None where there is none.
        lifted: places that re-ranking brought it up, negative where it fell.
    """

    item_id: RawId
    title: str
    year: int | None
    genres: tuple[str, ...]
    recallers: Mapping[str, int]
    stages: Mapping[str, Said]
    figures: Mapping[str, float]
    neighbour: RawId | None
    lifted: int


@dataclass(frozen=True)
class StageHead:
    """The best of what a stage left.

    Attributes:
        name: of the stage.
        candidates: how many items it left.
        seconds: wall time.
        items: (raw id, title, score) of the best ones.
    """

    name: str
    candidates: int
    seconds: float
    items: tuple[tuple[RawId, str, float], ...]


@dataclass(frozen=True)
class Trace:
    """The answer to one request.

    Attributes:
        user_id: as it was asked for.
        known: whether there is such a user.
        history: events of the user's history.
        fallback: why the most popular items stand in for recall, or empty.
        now: time of the request in seconds, None where the log has no times.
        lambda_mmr: of this request; None is that of the re-ranker.
        stages: in their order.
        items: best first; empty where nothing is left to recommend.
    """

    user_id: RawId
    known: bool
    history: int
    fallback: str
    now: int | None
    lambda_mmr: float | None
    stages: tuple[StageHead, ...]
    items: tuple[TracedItem, ...]

    def to_json(self) -> dict[str, Any]:
        """For `json.dumps(..., allow_nan=False)`: what is not a finite number is null."""
        found: dict[str, Any] = _plain(asdict(self))
        return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def traced(run: Run, row: int, user_id: RawId, world: World) -> Trace:
    """The answer to the user in a row of a run."""
    user, moment = int(run.request.users[row]), int(run.request.times[row])
    reason = "the user is unknown" if user < 0 else "the user has no history"
    last = run.stages[-1]
    return Trace(
        user_id=user_id,
        known=user >= 0,
        history=int(world.histories.lengths[user]) if user >= 0 else 0,
        fallback=reason if run.fallback[row] else "",
        now=None if moment == NO_TIMESTAMP else moment,
        lambda_mmr=run.request.lambda_mmr,
        stages=tuple(_head(stage, row, last.items.shape[1], world) for stage in run.stages),
        items=tuple(_item(run, row, int(place), world) for place in last.places[row] if place >= 0),
    )


def _head(stage: Stage, row: int, shown: int, world: World) -> StageHead:
    items = stage.items[row][stage.items[row] >= 0]
    head = [
        (world.items.ids[item], world.titles[item], float(score))
        for item, score in zip(items[:shown], stage.scores[row], strict=False)
    ]
    return StageHead(stage.name, len(items), stage.seconds, tuple(head))


def _item(run: Run, row: int, place: int, world: World) -> TracedItem:
    """The final item that stood at a place of the lists of recall."""
    item, ids, frame = int(run.stages[0].items[row, place]), world.items.ids, world.items.frame
    said: dict[str, Said] = {}
    figures: dict[str, float] = {}
    for stage in run.stages:
        column = int(np.flatnonzero(stage.places[row] == place)[0])
        said[stage.name] = Said(column + 1, float(stage.scores[row, column]))
        figures |= {name: float(values[row, column]) for name, values in stage.figures.items()}
    neighbour = int(figures.pop("mmr/neighbour", -1))
    year = frame["year"].iloc[item] if "year" in frame else None
    ranks = {name: int(one[row, place]) for name, one in run.channels.items()}
    return TracedItem(
        item_id=ids[item],
        title=world.titles[item],
        year=int(year) if isinstance(year, int | np.integer) else None,
        genres=tuple(frame["genres"].iloc[item]) if "genres" in frame else (),
        recallers={name: rank for name, rank in ranks.items() if rank},
        stages=said,
        figures=figures,
        neighbour=None if neighbour < 0 else ids[neighbour],
        lifted=said[run.stages[-2].name].rank - said[run.stages[-1].name].rank,
    )


def trace_text(trace: Trace, shown: int = 10) -> str:
    """A table for every stage, and one that explains the final items, for a terminal."""
    return "\n\n".join(
        "\n".join(lines) for lines in (*(_stage(one, shown) for one in trace.stages), _final(trace, shown))
    )


def _stage(stage: StageHead, shown: int) -> Iterator[str]:
    yield f"{stage.name}: {stage.candidates} items, {1000 * stage.seconds:.1f} ms"
    for place, (item_id, title, score) in enumerate(stage.items[:shown], start=1):
        yield f"{place:>3} {score:>9.4f}  {item_id!s:<8} {title}"


def _final(trace: Trace, shown: int) -> Iterator[str]:
    yield (
        "why"
        if trace.items
        else "nothing is left to recommend: the user has had every item, or a filter forbids them"
    )
    for place, item in enumerate(trace.items[:shown], start=1):
        yield f"{place:>3} {item.title}: {reason(item)}"


def reason(item: TracedItem) -> str:
    """Why an item stands where it does, in one line."""
    proposed = ", ".join(f"{name} {rank}" for name, rank in item.recallers.items())
    parts: list[str] = [f"proposed at rank {proposed}"]
    parts += [f"{name} {said.rank}" for name, said in item.stages.items()]
    figures = [f"{name} {value:.3g}" for name, value in item.figures.items() if math.isfinite(value)]
    moved = {1: f"lifted {item.lifted}", -1: f"fell {-item.lifted}", 0: ""}[int(np.sign(item.lifted))]
    return "; ".join(part for part in (*parts, moved, ", ".join(figures)) if part)


def trace_rows(items: Sequence[TracedItem]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The final items as a table: columns, and a row of text for each."""
    stages = list(dict.fromkeys(name for item in items for name in item.stages))
    figures = list(dict.fromkeys(name for item in items for name in item.figures))
    columns = ("Item", "Proposed at rank", *stages, "Lifted", *figures)
    rows = [
        (
            item.title,
            ", ".join(f"{name} {rank}" for name, rank in item.recallers.items()),
            *(_said(item.stages.get(name)) for name in stages),
            f"{item.lifted:+d}",
            *(_number(item.figures.get(name, math.nan)) for name in figures),
        )
        for item in items
    ]
    return columns, rows


def _said(said: Said | None) -> str:
    return "–" if said is None else f"{said.rank} ({_number(said.score)})"


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "–"
