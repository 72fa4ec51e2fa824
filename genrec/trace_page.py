"""A trace as a page: the final items with their pictures, why they are there, and the lists of all stages."""

from __future__ import annotations

import time
from collections.abc import Callable

from genrec.evaluation.page import Block, Picture, Pictures, Section, Table, Text
from genrec.trace import RawId, Trace, trace_rows


def trace_sections(trace: Trace, picture: Callable[[RawId], bytes | None], shown: int = 20) -> list[Section]:
    """The sections of the page.

    Args:
        trace: of one request.
        picture: JPEG of an item, None where there is none.
        shown: items of each stage.
    """
    intro = f"{trace.history} events in the history"
    if trace.now is not None:
        intro += f"; asked at {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(trace.now))} UTC"
    if trace.fallback:
        intro += f"; {trace.fallback}, so recall gives the most popular items"
    sections = [Section(f"Recommended to user {trace.user_id}", _final(trace, picture), f"{intro}.")]
    for stage in trace.stages:
        rows = tuple(
            (str(place), str(item_id), title, f"{score:.4f}")
            for place, (item_id, title, score) in enumerate(stage.items[:shown], start=1)
        )
        table = Table(("Rank", "Item", "Title", "Score"), rows, title="The best of them", folded=True)
        about = f"{stage.candidates} items after {1000 * stage.seconds:.1f} ms."
        sections.append(Section(f"Stage {stage.name}", (table,), about))
    return sections


def _final(trace: Trace, picture: Callable[[RawId], bytes | None]) -> tuple[Block, ...]:
    if not trace.items:
        return (Text("Nothing is left to recommend: the user has had every item, or a filter forbids them."),)
    pictured = [(item.title, picture(item.item_id)) for item in trace.items]
    pictures = tuple(Picture(title, jpeg) for title, jpeg in pictured if jpeg is not None)
    columns, rows = trace_rows(trace.items)
    caption = "Ranks are places in the order that a stage left, with its score in brackets; 1 is the best."
    why = Table(columns, tuple(rows), title="Why", caption=caption)
    return (Pictures("Posters", pictures), why) if pictures else (why,)
