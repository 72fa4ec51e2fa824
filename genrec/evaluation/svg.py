"""Inline SVG that takes its colours from the page, so that one plot is right in light and in dark.

matplotlib draws with marker colours, which are then replaced by the page's CSS variables (`--ink`, `--grid`,
`--s0` ... `--s9`). Text stays text. Ids are made unique, since all figures share one document.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

N_COLOURS = 10
"""Series colours of the page; the last two are greys."""

INK, SOFT, GRID = "#010a01", "#010a02", "#010a03"
SERIES = tuple(f"#010b{i:02x}" for i in range(N_COLOURS))
_VARIABLES = {INK: "--ink", SOFT: "--soft", GRID: "--grid"} | {c: f"--s{i}" for i, c in enumerate(SERIES)}
_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "genrec",  # else ids, and so the file, differ from run to run
    "text.parse_math": False,  # a $ in a name is a $
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "lines.linewidth": 2,
    "lines.markersize": 5,
}


class Drawing:
    """Axes to draw on, and the SVG of what was drawn."""

    def __init__(self, alt: str, width: float, height: float) -> None:
        self.alt = alt
        self.figure = Figure(figsize=(width, height), layout="constrained")
        self.figure.patch.set_alpha(0)
        self.axes: Axes = self.figure.add_subplot()
        self.axes.patch.set_alpha(0)
        self._canvas = FigureCanvasSVG(self.figure)

    def svg(self) -> str:
        """No prolog, no metadata, no fixed size; a title for screen readers; the same for equal drawings."""
        buffer = io.StringIO()
        self.figure.savefig(buffer, format="svg", metadata={"Date": None})
        text = buffer.getvalue()
        text = re.sub(r"<(metadata|style).*?</\1>", "", text[text.index("<svg") :], flags=re.DOTALL)
        head, _, rest = text.partition(">")
        head = re.sub(r' (width|height|version)="[^"]*"', "", head)
        alt = escape(self.alt)
        text = f'{head} role="img" aria-label="{alt}">{rest}'
        unique = "f" + hashlib.sha256(text.encode()).hexdigest()[:8]
        text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{unique}-", text)
        for colour, variable in _VARIABLES.items():
            text = text.replace(colour, f"var({variable})")
        return re.sub(r'font-family: [^;"]*;? ?', "", text)


@contextmanager
def drawing(alt: str, width: float = 5.2, height: float = 3.1) -> Iterator[Drawing]:
    """A drawing in the page's style; `alt` says what it shows, sizes are in inches."""
    with mpl.rc_context(_RC):
        yield Drawing(alt, width, height)
