"""The one door to datasets."""

from __future__ import annotations

from pathlib import Path

from genrec.data import store
from genrec.data.assemble import assemble
from genrec.data.registry import DatasetSpec, find
from genrec.data.tables import Dataset
from genrec.errors import ConfigError


def load_dataset(name: str, folder: str | Path | None = None, split: str | None = None) -> Dataset:
    """A dataset by name; downloaded and processed at its first use, memory-mapped afterwards.

    Args:
        name: `ml100k`, `ml-latest-small`, `ml1m`, `ml1m-content`, `ml20m`, `ml25m`, `ml32m`, `amazon` (with a split) or
            `amazon-beauty|sports|toys`, `custom` (with a folder), or that of a module added to
            `genrec/data/datasets/`.
        folder: where its files are or go; by default `dataset/<published name>` below the working directory.
        split: the category of a dataset that has several.

    Returns:
        The dataset; every rating counts as an event, none is dropped.

    Raises:
        ConfigError: the name or split is unknown, or `custom` comes without a folder.
        DataError: the files are missing and cannot be downloaded, or are not in their format.
    """
    spec = find(name, split)
    if folder is None and not spec.sources:
        raise ConfigError(f"dataset {spec.name!r} needs a folder: the one that holds {spec.advice}")
    return prepare(spec, Path("dataset") / spec.folder if folder is None else Path(folder))


def prepare(spec: DatasetSpec, folder: Path) -> Dataset:
    """The dataset declared by `spec` in `folder`: its processed form, made first where it is missing or stale."""
    ready = _processed(spec, folder)
    if ready is not None:
        return ready
    if not spec.sources:
        spec.fetch(folder)  # raises before a folder is made for files that only the user can bring
    with store.locked(folder):
        ready = _processed(spec, folder)  # another process may have made it while this one waited
        if ready is not None:
            return ready
        layout = spec.fetch(folder)
        raw = store.fingerprint(folder, (*layout.files, *layout.optional))
        dataset = assemble(spec.name, layout.read(folder))
        store.write(dataset, folder, raw)
        return store.read(folder, spec.name, raw) or dataset


def _processed(spec: DatasetSpec, folder: Path) -> Dataset | None:
    """The processed form, if it was made from the raw files there, or if these have been removed since."""
    layout = spec.present(folder)
    raw = store.fingerprint(folder, (*layout.files, *layout.optional)) if layout else None
    return store.read(folder, spec.name, raw)
