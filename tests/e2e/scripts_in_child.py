"""Runs a script as its own process, forked from a server that has the slow imports behind it."""

from __future__ import annotations

import multiprocessing
import os
import re
import resource
import runpy
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch.optim.optimizer import register_optimizer_step_post_hook

ROOT = Path(__file__).resolve().parents[2]
SLOW_IMPORTS = [
    "torch._dynamo",
    "genrec.evaluation.page",
    "genrec.evaluation.report",
    "genrec.features.text",
    "genrec.recall.generative",
    "genrec.training.loop",
    "timm",
    "wandb",
]
TIMEOUT = 120.0


@dataclass(frozen=True)
class Trouble:
    """What befalls a process.

    Attributes:
        kill_at_step: it dies by SIGKILL after that many updates of the weights.
        kill_at_write: it dies by SIGKILL before that file is opened for writing, renamed or removed (from 0).
        largest_file: bytes a file may have; writing more fails, as on a full disk.
        environment: variables; None removes one.
    """

    kill_at_step: int | None = None
    kill_at_write: int | None = None
    largest_file: int | None = None
    environment: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a process ended: exit code (negative: the signal), and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL

    @property
    def refusal(self) -> str:
        """The one sentence of a run that was refused as it should be."""
        assert self.code == 2, self.err or self.out
        assert "Traceback" not in self.err, self.err
        errors = [line for line in re.split(r"[\r\n]+", self.err) if line.startswith("error: ")]
        assert len(errors) == 1, self.err
        assert self.err.rstrip().endswith(errors[0]), "something was said after the error"
        return errors[0].removeprefix("error: ")


def run(script: str, *arguments: str, folder: Path, trouble: Trouble | None = None) -> Outcome:
    """Run a script of the repository in `folder`; arguments that bind or import become `--gin`."""
    gin = [" = " in one or one.startswith("import ") for one in arguments]
    line = [part for one, is_gin in zip(arguments, gin, strict=True) for part in (["--gin"] * is_gin + [one])]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(SLOW_IMPORTS)
    written = [folder / ".stdout", folder / ".stderr"]
    child = context.Process(
        target=_child,
        args=(ROOT / script, line, folder, [str(path) for path in written], trouble or Trouble()),
    )
    child.start()
    child.join(TIMEOUT)
    if child.exitcode is None:
        child.kill()
        child.join()
    texts = [path.read_text("utf-8") for path in written]
    assert child.exitcode is not None
    return Outcome(child.exitcode, *texts)


def _child(script: Path, line: list[str], folder: Path, written: list[str], trouble: Trouble) -> None:
    for number, path in enumerate(written, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(folder)
    for name, value in trouble.environment.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    if trouble.kill_at_step is not None:
        _kill_at_step(trouble.kill_at_step)
    if trouble.kill_at_write is not None:
        _kill_at_write(trouble.kill_at_write, folder / "out")
    if trouble.largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (trouble.largest_file, trouble.largest_file))
    sys.argv = [str(script), *line]
    runpy.run_path(str(script), run_name="__main__")


def _kill_at_step(step: int) -> None:
    left = step

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    register_optimizer_step_post_hook(count)


def _kill_at_write(moment: int, below: Path) -> None:
    """Count what changes files below a folder; relative paths are relative to the working directory."""
    left = moment

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event == "open":
            touches = isinstance(arguments[0], str) and bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR))
        else:
            touches = event in ("os.rename", "os.remove")
        if touches and Path(os.fsdecode(arguments[0])).absolute().is_relative_to(below):
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    sys.addaudithook(watch)
