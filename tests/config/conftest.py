from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gin
import pytest
import tiny_script

from genrec import config

FILES = {
    "configs/data/tiny.gin": "DATASET = 'tiny'\n",
    "configs/model/mlp.gin": (
        "from __gin__ import dynamic_registration\nimport tiny_parts as parts\n\n"
        "parts.Mlp.width = 5\nparts.Mlp.hidden = (2, 3)\n"
    ),
    "configs/leaf.gin": (
        "from __gin__ import dynamic_registration\n"
        "include 'configs/data/tiny.gin'\n"
        "include 'configs/model/mlp.gin'\n"
        "train.dataset = %DATASET\n"
        "train.encoder = @parts.Mlp()\n"
    ),
}


@dataclass(frozen=True)
class Outcome:
    """What a script did."""

    code: int
    out: str
    error: str

    @property
    def facts(self) -> dict[str, Any]:
        """What the script printed."""
        assert self.code == 0, self.error
        facts: dict[str, Any] = json.loads(self.out)
        return facts


Run = Callable[..., Outcome]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small repository of configurations, which is the working directory."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(files: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs the script in this process; arguments with `=` or `import` become --gin."""

    def call(*arguments: str) -> Outcome:
        line = [
            part
            for a in arguments
            for part in (["--gin", a] if {"=", " "} & set(a) and not a.startswith("--") else [a])
        ]
        code = config.main(
            tiny_script.train, description=tiny_script.__doc__, options={"user": int}, argv=line
        )
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err)

    yield call
    gin.clear_config()
