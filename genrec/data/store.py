"""The processed form of a dataset on disk: parquet tables to look at, dense arrays to load at once.

`<folder>/processed/` appears by one rename, so it is whole or not there. It is a cache: where it does not fit
the raw files or this code any more, it is made again.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from genrec.data.download import SCRATCH
from genrec.data.tables import NO_TIMESTAMP, Dataset, Interactions, ItemTable, UserTable
from genrec.errors import DataError

SCHEMA = 1
_SUBFOLDER = "processed"
_COLUMNS = ("users", "items", "ratings", "timestamps", "positions")
_ROWS_AT_ONCE = 1 << 22  # rows of the interactions table in memory while it is written


def fingerprint(folder: Path, files: Sequence[str]) -> dict[str, list[int]]:
    """Size and time of change of the files that are there; changes when a raw file is replaced."""
    stats = {name: (folder / name).stat() for name in files if (folder / name).is_file()}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def write(dataset: Dataset, folder: Path, raw: dict[str, list[int]]) -> None:
    """Write the processed form of `dataset`, made from raw files with fingerprint `raw`.

    Raises:
        DataError: the folder cannot be written (disk full, no permission); nothing half-written stays.
    """
    with _replaced(folder / _SUBFOLDER) as fresh:
        for name in _COLUMNS:
            column = getattr(dataset.interactions, name)
            if column is not None:
                np.save(fresh / f"{name}.npy", column)
        dataset.items.frame.to_parquet(fresh / "items.parquet", index=False)
        dataset.users.frame.to_parquet(fresh / "users.parquet", index=False)
        _write_interactions(dataset, fresh / "interactions.parquet")
        manifest = {
            "schema": SCHEMA,
            "name": dataset.name,
            "content_hash": dataset.content_hash,
            "events": len(dataset.interactions),
            "users": len(dataset.users),
            "items": len(dataset.items),
            "raw": raw,
            "sizes": {path.name: path.stat().st_size for path in sorted(fresh.iterdir())},
        }
        (fresh / "manifest.json").write_text(json.dumps(manifest, indent=2))


def read(folder: Path, name: str, raw: dict[str, list[int]] | None) -> Dataset | None:
    """The processed form in `folder`, arrays memory-mapped read-only; None where there is none that fits.

    Args:
        folder: of the dataset.
        name: of the dataset it must be.
        raw: fingerprint that it must have been made from; None accepts any.
    """
    place = folder / _SUBFOLDER
    try:
        manifest = json.loads((place / "manifest.json").read_text())
        fits = (
            manifest["schema"] == SCHEMA
            and manifest["name"] == name
            and (raw is None or manifest["raw"] == raw)
            and all((place / file).stat().st_size == size for file, size in manifest["sizes"].items())
        )
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, KeyError):
        return None
    if not fits:
        return None
    columns: dict[str, Any] = {
        column: np.load(place / f"{column}.npy", mmap_mode="r")
        for column in _COLUMNS
        if f"{column}.npy" in manifest["sizes"]
    }
    items = pq.read_table(place / "items.parquet")
    frame = items.drop_columns(["genres"]).to_pandas()
    frame.insert(3, "genres", items["genres"].to_pylist())
    events = Interactions(n_users=manifest["users"], n_items=manifest["items"], **columns)
    users = pd.read_parquet(place / "users.parquet")
    return Dataset(name, events, ItemTable(frame), UserTable(users), manifest["content_hash"])


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: of several processes that want a dataset, one prepares it and the others wait."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise DataError(
            f"cannot write into {folder}: {error.strerror}; choose a folder you may write to"
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # What a killed process left; nobody else writes here, as that takes the lock.
        for left in folder.glob(f"{SCRATCH}*"):
            shutil.rmtree(left)
        yield


@contextmanager
def _replaced(target: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of `target` when the block ends well, and vanishes otherwise."""
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=SCRATCH) as scratch:
            fresh = Path(scratch) / "fresh"
            fresh.mkdir()
            yield fresh
            if target.exists():
                os.replace(target, Path(scratch) / "old")
            os.replace(fresh, target)
    except OSError as error:
        raise DataError(
            f"cannot write {target}: {error.strerror or error}; free disk space or choose another folder"
        ) from error


def _write_interactions(dataset: Dataset, path: Path) -> None:
    """The canonical table with raw ids, in pieces, so that 32 million rows need little memory."""
    events = dataset.interactions
    user_ids = pa.array(dataset.users.frame["user_id"])
    item_ids = pa.array(dataset.items.frame["item_id"])
    types = (user_ids.type, item_ids.type, pa.float32(), pa.int64(), pa.int64())
    names = ("user_id", "item_id", "rating", "timestamp", "position")
    schema = pa.schema(list(zip(names, types, strict=True)))
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, len(events), _ROWS_AT_ONCE):
            piece = events.take(slice(start, start + _ROWS_AT_ONCE))
            writer.write_table(
                pa.table(
                    [
                        user_ids.take(pa.array(piece.users)),
                        item_ids.take(pa.array(piece.items)),
                        _nullable(piece.ratings, len(piece), pa.float32()),
                        _nullable(piece.timestamps, len(piece), pa.int64()),
                        _nullable(piece.positions, len(piece), pa.int64()),
                    ],
                    schema=schema,
                )
            )


def _nullable(column: NDArray[Any] | None, length: int, kind: pa.DataType) -> pa.Array:
    """NaN and `NO_TIMESTAMP` become nulls."""
    if column is None:
        return pa.nulls(length, kind)
    missing = np.isnan(column) if column.dtype.kind == "f" else column == NO_TIMESTAMP
    return pa.array(column, kind, mask=missing)
