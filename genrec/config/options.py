"""Flags that stand for a gin file: `--model ease` reads `configs/recall/ease.gin` before all others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from genrec.errors import ConfigError


@dataclass(frozen=True)
class Named:
    """A flag `--FLAG NAME` that reads the gin file of that name first, which binds the parameter FLAG to the name.

    Attributes:
        folder: of the gin files, looked for where other gin files are: `configs/recall`.
        others: files in it that are no such names.
    """

    folder: str
    others: tuple[str, ...] = ()

    def file(self, name: str, flag: str, folders: Iterable[Path]) -> Path:
        """The file of a name, in the first of the folders that has it.

        Raises:
            ConfigError: there is none; lists those that there are.
        """
        found = {
            path.stem: path.resolve()
            for folder in reversed(list(folders))
            for path in (folder / self.folder).glob("*.gin")
            if path.stem not in self.others
        }
        if name not in found:
            raise ConfigError(f"--{flag} {name} is unknown; choose one of {', '.join(sorted(found))}")
        return found[name]
