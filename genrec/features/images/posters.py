"""Which items of a catalogue have a poster file, and where."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from genrec.artifacts import text_hash
from genrec.data.tables import ItemTable
from genrec.errors import DataError

MISSING = "no poster file"


@dataclass(frozen=True)
class Poster:
    """A poster file.

    Attributes:
        item: dense index.
        path: of the file.
        stamp: name, bytes and time of change; another file has another.
    """

    item: int
    path: Path
    stamp: str


def find_posters(items: ItemTable, folder: Path, dataset_folder: Path) -> list[Poster]:
    """As `list_posters`.

    Raises:
        DataError: there is not one.
    """
    found = list_posters(items, folder, dataset_folder)
    if not found:
        raise DataError(
            f"there is no poster of any of the {len(items)} items in {folder}; run experiments/download_posters.py, "
            "or bind extract.poster_folder to the folder of files named by item id, such as 42.jpg"
        )
    return found


def list_posters(items: ItemTable, folder: Path, dataset_folder: Path) -> list[Poster]:
    """The posters that are there, in the order of the items.

    An item's poster is where its `image_path` says, below `dataset_folder`, or else the file in `folder` that is
    named by the item's id (`42.jpg`; endings differ, and need not tell the format).
    """
    files = _by_stem(folder)
    paths = items.frame["image_path"] if "image_path" in items.frame else pd.Series([None] * len(items))
    found = []
    for item, (item_id, given) in enumerate(zip(items.ids, paths, strict=True)):
        path = files.get(str(item_id)) if pd.isna(given) else dataset_folder / str(given)
        if path is not None and path.is_file():
            found.append(Poster(item, path, _stamp(path)))
    return found


def stamps_hash(posters: Sequence[Poster]) -> str:
    """Hash of which files these are, hex."""
    return text_hash("\n".join(f"{poster.item} {poster.stamp}" for poster in posters))


def _by_stem(folder: Path) -> dict[str, Path]:
    """Name without ending -> file; of several the first in the alphabet."""
    if not folder.is_dir():
        return {}
    files: dict[str, Path] = {}
    with os.scandir(folder) as entries:
        for name in sorted(entry.name for entry in entries):
            if not name.startswith("."):
                files.setdefault(Path(name).stem, folder / name)
    return files


def _stamp(path: Path) -> str:
    stat = path.stat()
    return f"{path.name} {stat.st_size} {stat.st_mtime_ns}"
