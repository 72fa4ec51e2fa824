"""Flags that stand for a gin file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gin
import pytest

from genrec import config
from genrec.config.options import Named


def errand(*, kind: str, size: int, depth: int = 0, out: str | None = None) -> None:
    """Says what it was given.

    Args:
        kind: what it is.
        size: some number.
        depth: another.
        out: nowhere.
    """
    print(kind, size, depth)


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    files = {
        "configs/kinds/base.gin": "errand.depth = %DEPTH",
        "configs/kinds/small.gin": "include 'configs/kinds/base.gin'\nerrand.kind = 'small'\nerrand.size = 1",
        "configs/kinds/large.gin": "include 'configs/kinds/base.gin'\nerrand.kind = 'large'\nerrand.size = 9",
        "configs/kinds/nameless.gin": "errand.size = 5",
        "data.gin": "DEPTH = 3",
        "leaf.gin": "include 'data.gin'\ninclude 'configs/kinds/small.gin'\nerrand.size = 2",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.chdir(tmp_path)
    yield
    gin.clear_config()


def call(*arguments: str) -> int:
    named = Named("configs/kinds", others=("base",))
    return config.main(errand, description="Errand.", options={"kind": named}, argv=arguments)


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["--kind", "small", "data.gin"], "small 1 3"),
        (["--kind", "large", "data.gin"], "large 9 3"),
        (["--kind", "small", "leaf.gin"], "small 2 3"),
        (["leaf.gin"], "small 2 3"),
        (["--kind", "large", "data.gin", "--gin", "errand.size = 4"], "large 4 3"),
    ],
)
def test_the_file_of_that_name_is_read_before_the_others(
    capsys: pytest.CaptureFixture[str], arguments: list[str], printed: str
) -> None:
    assert call(*arguments) == 0
    assert capsys.readouterr().out.strip() == printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--kind", "huge"], "--kind huge is unknown; choose one of large, nameless, small"),
        (["--kind", "base"], "--kind base is unknown"),
        (["--kind", "../kinds/small"], "is unknown"),
        (
            ["--kind", "large", "leaf.gin"],
            "--kind large was asked for, but configs/kinds/small.gin:2 says errand.kind = 'small'",
        ),
        (["--kind", "nameless", "data.gin"], "errand.kind is not bound"),
    ],
)
def test_what_is_refused(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert call(*arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_help_shows_the_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call("--help")
    assert "--kind KIND" in capsys.readouterr().out
