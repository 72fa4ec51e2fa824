"""Trackers: where figures, the configuration, tables and artifacts of a run are kept for later."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from genrec.artifacts import write_text
from genrec.errors import ArtifactError
from genrec.training.wandb_tracker import WandbTracker


class Tracker(Protocol):
    """Keeps what a run says about itself."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Figures at a step."""
        ...

    def configuration(self, text: str, name: str) -> None:
        """A gin text: everything that is bound, or what was used; `name` ends in .gin."""
        ...

    def table(self, name: str, columns: list[str], rows: list[list[Any]]) -> None:
        """A table of JSON values."""
        ...

    def artifact(self, folder: Path, name: str, kind: str, files: Sequence[str] | None = None) -> None:
        """Files of a folder (None: all of them, not of folders below it)."""
        ...

    def close(self) -> None:
        """Finish writing."""
        ...


class JsonlTracker:
    """Figures in a file, one JSON object per line: `{"step": 10, "time": 1700000000.0, "train/loss": 1.5}`.

    Args:
        path: the file; it is appended to.
        resume_step: lines after this step are of a part of the run that is done again and are dropped;
            None starts the file anew.

    NaN and infinity become null. Configurations and tables are files beside it.
    """

    def __init__(self, path: Path, resume_step: int | None = None) -> None:
        self.path = Path(path)
        for leftover in self.path.parent.glob(f".{self.path.stem}-*"):  # of a run that was killed here
            leftover.unlink()
        kept = [] if resume_step is None else _lines_until(self.path, resume_step)
        write_text(self.path, "".join(kept))
        self._file = self.path.open("a", encoding="utf-8")

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Append one line; it is on its way to the disk when this returns."""
        figures = {key: value if math.isfinite(value) else None for key, value in metrics.items()}
        row = {"step": step, "time": round(time.time(), 3), **figures}
        try:
            self._file.write(json.dumps(row, allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise ArtifactError(
                f"cannot write {self.path}: {error.strerror}; free space, then resume"
            ) from error

    def configuration(self, text: str, name: str) -> None:
        """Write the text beside the figures."""
        write_text(self.path.parent / name, text)

    def table(self, name: str, columns: list[str], rows: list[list[Any]]) -> None:
        """Write `NAME.json` beside the figures."""
        text = json.dumps({"columns": columns, "rows": rows}, ensure_ascii=False)
        write_text(self.path.parent / f"{name.replace('/', '-')}.json", text)

    def artifact(self, folder: Path, name: str, kind: str, files: Sequence[str] | None = None) -> None:
        """Nothing: the artifact is on this disk."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Trackers(list[Tracker]):
    """Several trackers as one."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Figures at a step."""
        for tracker in self:
            tracker.log(metrics, step)

    def configuration(self, text: str, name: str) -> None:
        """A gin text."""
        for tracker in self:
            tracker.configuration(text, name)

    def table(self, name: str, columns: list[str], rows: list[list[Any]]) -> None:
        """A table of JSON values."""
        for tracker in self:
            tracker.table(name, columns, rows)

    def artifact(self, folder: Path, name: str, kind: str, files: Sequence[str] | None = None) -> None:
        """Files of a folder."""
        for tracker in self:
            tracker.artifact(folder, name, kind, files)

    def close(self) -> None:
        """Finish writing."""
        for tracker in self:
            tracker.close()


def open_trackers(
    folder: Path,
    *,
    wandb: bool,
    project: str = "genrec",
    name: str | None = None,
    resume_step: int | None = None,
) -> Trackers:
    """The trackers of a run: `metrics.jsonl` in `folder` always, W&B when asked.

    Args:
        resume_step: `genrec.training.loop.resume_step`; None for a new run.

    Raises:
        ConfigError: W&B is asked for but not installed, or it cannot be reached.
    """
    trackers = Trackers([JsonlTracker(folder / "metrics.jsonl", resume_step)])
    if wandb:
        trackers.append(WandbTracker(folder, project=project, name=name, resumed=resume_step is not None))
    return trackers


def _lines_until(path: Path, step: int) -> list[str]:
    """The whole lines up to a step; a line that a killed process left unfinished is dropped."""
    if not path.exists():
        return []
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if line.endswith("\n") and row["step"] <= step:
            kept.append(line)
    return kept


def read_curves(path: Path, names: Sequence[str]) -> dict[str, tuple[list[float], list[float]]]:
    """Curves from a `metrics.jsonl`: name -> (steps, values); names that were never logged are left out."""
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for name in names:
            if row.get(name) is not None:
                steps, values = curves.setdefault(name, ([], []))
                steps.append(row["step"])
                values.append(row[name])
    return curves
