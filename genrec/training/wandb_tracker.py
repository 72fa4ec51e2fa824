"""Weights & Biases, offline where there is no key. The package is imported only when it is asked for."""

from __future__ import annotations

import ast
import netrc
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

from genrec.artifacts import write_text
from genrec.errors import ConfigError

Mode = Literal["online", "offline", "disabled"]


class WandbTracker:
    """A W&B run. Its files are in `FOLDER/wandb/`; an offline run is sent later with `wandb sync`.

    Args:
        folder: of the training run; also keeps the run's id, so that a resumed run is the same W&B run.
        project: W&B project.
        name: shown name; None lets W&B choose.
        mode: None is what WANDB_MODE says, else online where W&B finds a key (environment or netrc), else offline.
        resumed: whether training goes on from a checkpoint; otherwise a new W&B run is begun.

    Raises:
        ConfigError: W&B is not installed, or cannot be reached.
    """

    def __init__(
        self,
        folder: Path,
        *,
        project: str = "genrec",
        name: str | None = None,
        mode: Mode | None = None,
        resumed: bool = False,
    ) -> None:
        try:
            import wandb
        except ImportError as error:
            raise ConfigError(
                "W&B logging is on but wandb is not installed; run `pip install 'genrec[track]'` or switch it off"
            ) from error
        self._wandb: Any = wandb
        if mode is None and "WANDB_MODE" not in os.environ:
            mode = "online" if _has_key() else "offline"
        online = (mode or os.environ["WANDB_MODE"]) == "online"
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if not online:  # W&B would keep the files of artifacts in the home folder; here the run is whole
            os.environ.setdefault("WANDB_DATA_DIR", str(folder.resolve() / "wandb"))
        try:
            self._run: Any = self._wandb.init(
                project=project,
                name=name,
                id=_run_id(folder / "wandb-id.txt", resumed),
                dir=folder,
                mode=mode,
                resume="allow" if online and resumed else None,
                settings=self._wandb.Settings(console="off"),
            )
        except self._wandb.errors.Error as error:
            raise ConfigError(
                f"W&B cannot start ({error}); set WANDB_MODE=offline to log to files, or switch it off"
            ) from error

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Figures at a step."""
        self._run.log(dict(metrics), step=step)

    def configuration(self, text: str, name: str) -> None:
        """The text as it is, and its bindings one by one, by which W&B compares runs."""
        self._run.config.update({name: text, **_bindings(text)}, allow_val_change=True)

    def table(self, name: str, columns: list[str], rows: list[list[Any]]) -> None:
        """A W&B table."""
        self._run.log({name: self._wandb.Table(columns=columns, data=rows)})

    def artifact(self, folder: Path, name: str, kind: str, files: Sequence[str] | None = None) -> None:
        """A W&B artifact of files in a folder (None: all of them, not of folders below it)."""
        names = sorted(path.name for path in folder.iterdir()) if files is None else files
        artifact = self._wandb.Artifact(re.sub(r"[^\w.-]", "-", name), type=kind)
        for file in names:
            if (folder / file).is_file():
                artifact.add_file(str(folder / file), name=file)
        self._run.log_artifact(artifact)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


def _run_id(path: Path, resumed: bool) -> str:
    if resumed and path.exists():
        return path.read_text(encoding="utf-8").strip()
    run_id = secrets.token_hex(4)
    write_text(path, run_id + "\n")
    return run_id


def _has_key() -> bool:
    """Whether W&B would find a key where it looks itself; the key is not read."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    files = (
        [Path(os.environ["NETRC"])]
        if "NETRC" in os.environ
        else [Path.home() / ".netrc", Path.home() / "_netrc"]
    )
    try:
        return any(file.is_file() and host in netrc.netrc(file).hosts for file in files)
    except (netrc.NetrcParseError, OSError):
        return False


def _bindings(text: str) -> dict[str, Any]:
    """`name = value` of a gin text; values that are not Python literals (references) stay text."""
    values: dict[str, Any] = {}
    for name, value in re.findall(r"^([\w./]+) = (.*)$", re.sub(r"\\?\n[ \t]+", " ", text), re.MULTILINE):
        try:
            values[name] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            values[name] = value.strip()
    return values
