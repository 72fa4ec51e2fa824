"""One self-contained HTML page out of text, tables and figures: no scripts, no network, light and dark.

The building blocks are generic; `report` and the tokenizer's quality page are made of them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import ClassVar, Literal

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from genrec.artifacts import write_text

Tone = Literal["", "best", "good", "bad", "quiet"]


@dataclass(frozen=True)
class Cell:
    """A table cell; `best` stands out, `good` and `bad` are coloured, `quiet` is grey; `hint` shows on hover."""

    text: str
    tone: Tone = ""
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows.

    Attributes:
        columns: headings.
        rows: as long as `columns` each; a plain string is a cell without tone.
        title: above it; the line to click where `folded`.
        caption: how to read it, below it.
        folded: start closed.
        prose: cells hold text rather than numbers, so they are aligned left and may wrap.
    """

    kind: ClassVar[str] = "table"
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell | str, ...], ...]
    caption: str = ""
    title: str = ""
    folded: bool = False
    prose: bool = False

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row of {len(row)} cells does not fit the columns {self.columns}")

    @property
    def narrow(self) -> bool:
        """Whether it can share a row of the page with a figure."""
        return len(self.columns) <= 6

    @property
    def cells(self) -> list[list[Cell]]:
        """Rows with every string made a cell."""
        return [[Cell(cell) if isinstance(cell, str) else cell for cell in row] for row in self.rows]


@dataclass(frozen=True)
class Key:
    """An entry of a figure's legend: label, number of the series' colour, whether its line is dashed."""

    label: str
    colour: int
    dashed: bool = False


@dataclass(frozen=True)
class Figure:
    """A plot with its legend as text, a sentence on how to read it, and its numbers behind a click.

    Attributes:
        svg: as `genrec.evaluation.plots` makes it; trusted, so never built from foreign text.
    """

    kind: ClassVar[str] = "figure"
    title: str
    svg: str
    caption: str
    keys: tuple[Key, ...] = ()
    numbers: Table | None = None


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    body: str


@dataclass(frozen=True)
class Tile:
    """One figure that matters: what it is, its value, and what to hold it against."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Tiles:
    """A row of tiles."""

    kind: ClassVar[str] = "tiles"
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Picture:
    """A small JPEG with a label."""

    label: str
    jpeg: bytes

    @property
    def encoded(self) -> str:
        """In base64, for the page to carry."""
        return base64.b64encode(self.jpeg).decode("ascii")


@dataclass(frozen=True)
class Pictures:
    """A row of pictures of one height, with their labels below."""

    kind: ClassVar[str] = "pictures"
    title: str
    pictures: tuple[Picture, ...]


Block = Table | Figure | Text | Tiles | Pictures


@dataclass(frozen=True)
class Section:
    """A heading, a sentence under it, and blocks; neighbouring figures share a row where there is room."""

    title: str
    blocks: tuple[Block, ...]
    intro: str = ""
    anchor: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "anchor", re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-"))


def render_page(title: str, sections: Sequence[Section], subtitle: str = "") -> str:
    """The page as HTML; everything but the figures' SVG is escaped."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = files("genrec.evaluation").joinpath("templates/page.html").read_text(encoding="utf-8")
    template = environment.from_string(source)
    return template.render(title=title, subtitle=subtitle, sections=sections, trusted=Markup)


def write_page(path: Path, title: str, sections: Sequence[Section], subtitle: str = "") -> Path:
    """Render a page and write it atomically; returns `path`."""
    write_text(path, render_page(title, sections, subtitle))
    return path
