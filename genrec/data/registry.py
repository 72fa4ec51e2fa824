"""Datasets by name. A dataset is a declaration in a module of `genrec/data/datasets/`, found by itself."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import genrec.data.datasets
from genrec.data.raw import RawTables
from genrec.errors import ConfigError, DataError


class Source(Protocol):
    """A place that holds a dataset's raw files."""

    def fetch(self, folder: Path) -> None:
        """Put the raw files into `folder`; DataError says why it could not."""
        ...


@dataclass(frozen=True, slots=True)
class Layout:
    """A set of raw files and the reader that understands it.

    Attributes:
        files: names that must be in the folder.
        read: reads them.
        optional: names that the reader uses where they are there.
    """

    files: tuple[str, ...]
    read: Callable[[Path], RawTables]
    optional: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """A dataset as declared.

    Attributes:
        name: what users type.
        folder: default folder below `dataset/`.
        layouts: the file sets it may come in; the first one that is complete is read.
        sources: where to download it, in order of preference; empty where the user brings it.
        advice: what to put into the folder by hand and from where, for error messages.
    """

    name: str
    folder: str
    layouts: tuple[Layout, ...]
    sources: tuple[Source, ...] = ()
    advice: str = ""

    def present(self, folder: Path) -> Layout | None:
        """The first layout whose files are all in `folder`."""
        complete = (one for one in self.layouts if all((folder / name).is_file() for name in one.files))
        return next(complete, None)

    def fetch(self, folder: Path) -> Layout:
        """The layout found in `folder`, downloaded from the first source that works if there is none.

        Raises:
            DataError: no source works; says what to put where.
        """
        layout = self.present(folder)
        reasons: list[str] = []
        for source in self.sources if layout is None else ():
            try:
                source.fetch(folder)
            except DataError as error:
                reasons.append(str(error))
                continue
            layout = self.present(folder)
            if layout is not None:
                break
        if layout is None:
            why = f" and no source answered ({'; '.join(reasons)})" if reasons else ""
            raise DataError(
                f"{self.name}: its files are not in {folder}{why}; put {self.advice} into that folder"
            )
        return layout


def datasets() -> dict[str, DatasetSpec]:
    """Every declared dataset by name."""
    modules = pkgutil.iter_modules(genrec.data.datasets.__path__, "genrec.data.datasets.")
    specs = (spec for module in modules for spec in importlib.import_module(module.name).DATASETS)
    return {spec.name: spec for spec in specs}


def find(name: str, split: str | None = None) -> DatasetSpec:
    """The dataset `name`, or `name-split` where a split is given (`amazon`, `beauty`).

    Raises:
        ConfigError: there is no such dataset, or it needs a split.
    """
    known = datasets()
    wanted = f"{name}-{split}" if split else name
    if wanted in known:
        return known[wanted]
    splits = [other.removeprefix(f"{name}-") for other in known if other.startswith(f"{name}-")]
    if splits:
        raise ConfigError(f"dataset {name!r} has no split {split!r}; choose one of {', '.join(splits)}")
    raise ConfigError(f"dataset {wanted!r} is unknown; choose one of {', '.join(known)}")
