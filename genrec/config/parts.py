"""Runs of scripts as parts of a larger job: each in a folder of its own, and not repeated once it is finished."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from genrec.artifacts import text_hash
from genrec.config.reader import REPOSITORY
from genrec.config.sources import sources
from genrec.errors import ConfigError, GenrecError

FIGURES = "metrics.json"


class PartFailed(GenrecError):  # noqa: N818 - it names what happened
    """A script refused; its sentence."""


@dataclass(frozen=True)
class Part:
    """A run of one script, in a folder that is named by everything that was asked of it.

    Another configuration gets another folder, so that nothing has to be removed to try it.

    Attributes:
        folder: of its results; finished when it has `metrics.json`.
        key: hash of script, configuration, bindings, and the part before it.
        command: script, configuration and bindings.
    """

    folder: Path
    key: str
    command: tuple[str, ...]

    @classmethod
    def of(
        cls, home: Path, stage: str, script: str, configs: Sequence[str], gin: Sequence[str], before: str = ""
    ) -> Self:
        """The part of a stage below `home`.

        Args:
            script: path in the repository; it has `CONFIG.gin ... --gin BINDING --out DIR` and writes `metrics.json`.
            before: key of the part that it starts from.

        Raises:
            ConfigError: a configuration file is missing.
        """
        key = text_hash(json.dumps([script, sources(configs), list(gin), before]))
        return cls(home / f"{stage}-{key[:8]}", key, (script, *configs, *_flags(gin)))

    def run(self, *bindings: str) -> dict[str, float]:
        """Figures of the part, which is run unless they are there; what it says goes to a log beside the folder.

        Args:
            bindings: further ones, which follow from the parts before.

        Raises:
            PartFailed: the script refused.
        """
        figures = self.folder / FIGURES
        if not figures.exists():
            print(f"{self.folder}: {' '.join(self.command)}", file=sys.stderr)
            script, *rest = self.command
            line = [sys.executable, os.path.relpath(REPOSITORY / script), *rest, *_flags(bindings)]
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            log = self.folder.with_name(f"{self.folder.name}.log")
            with log.open("w", encoding="utf-8") as file:
                done = subprocess.run(  # noqa: S603 - a script of this repository
                    [*line, "--out", str(self.folder)], stdout=file, stderr=subprocess.STDOUT
                )
            if done.returncode:
                lines = log.read_text("utf-8").splitlines()
                said = [one.removeprefix("error: ") for one in lines if one.startswith("error: ")]
                raise PartFailed(said[-1] if said else f"exit code {done.returncode}; see {log}")
        found: dict[str, float] = json.loads(figures.read_text("utf-8"))
        return found


def _flags(bindings: Sequence[str]) -> list[str]:
    return [part for binding in bindings for part in ("--gin", binding)]


def named_configs(texts: Sequence[str]) -> dict[str, list[str]]:
    """Configurations by name, from `[NAME=]FILE[+FILE...]`; the stems of the files where there is no name.

    Raises:
        ConfigError: two have one name.
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        name, _, files = text.rpartition("=")
        configs = files.split("+")
        name = name or "+".join(Path(config).stem for config in configs)
        if name in found:
            raise ConfigError(
                f"two configurations are named {name}; put a name in front of one: other={files}"
            )
        found[name] = configs
    return found
