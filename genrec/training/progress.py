"""What a person watching sees: a bar on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Shows steps and the latest figures on stderr.

    Args:
        total: steps of the whole run.
        done: steps that were done before this process.
        visible: False shows nothing.
    """

    def __init__(self, total: int, done: int, visible: bool) -> None:
        self._total, self._done, self._visible = total, done, visible
        self._figures: dict[str, str] = {}
        self._printed = time.monotonic()
        self._bar: tqdm[Any] | None = None
        if visible and sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=done, unit="step", dynamic_ncols=True)

    def advance(self) -> None:
        """One more step is done."""
        self._done += 1
        if self._bar is not None:
            self._bar.update(1)

    def show(self, figures: Mapping[str, float], *, always: bool = False) -> None:
        """Show figures beside the step.

        Args:
            figures: these replace older ones of the same name.
            always: print a line even if there was one a moment ago (where there is no bar).
        """
        self._figures.update({name: f"{value:.4g}" for name, value in figures.items()})
        if self._bar is not None:
            self._bar.set_postfix(self._figures, refresh=False)
        elif self._visible and (always or time.monotonic() - self._printed > _SECONDS_BETWEEN_LINES):
            self._printed = time.monotonic()
            text = " ".join(f"{name} {value}" for name, value in self._figures.items())
            print(f"step {self._done}/{self._total} {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
