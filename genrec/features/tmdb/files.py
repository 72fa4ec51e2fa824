"""Files that are whole or not there, however a process ends; half-written ones are kept in a folder of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

from genrec.errors import DataError

_SCRATCH = ".new"


def put(folder: Path, name: str, content: bytes) -> None:
    """Write `folder/name`, which may lie deeper, by a rename. One thread at a time writes a name.

    After a power cut the file may be empty, as nothing waits for the disk; whoever resumes checks content anyway.

    Raises:
        DataError: the file cannot be written (disk full, no permission).
    """
    path, fresh = folder / name, folder / _SCRATCH / Path(name).name
    try:
        for parent in (path.parent, fresh.parent):
            parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(content)
        fresh.replace(path)
    except OSError as error:
        raise DataError(
            f"cannot write {path}: {error.strerror}; free space or choose another folder"
        ) from error


def sweep(folder: Path) -> None:
    """Remove what a killed process left half-written."""
    shutil.rmtree(folder / _SCRATCH, ignore_errors=True)
