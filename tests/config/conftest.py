from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gin
import pytest
import tiny_script
from outcome import Outcome, Run

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
