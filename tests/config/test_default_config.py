"""Scripts that need no argument, flags without a value, and what an entry function returns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gin
import pytest

from genrec import config

DEFAULT = "configs/usual.gin"


def errand(*, size: int, again: bool = False, code: int | None = None, said: str | None = None) -> int | None:
    """Says what it was given.

    Args:
        size: some number.
        again: only what failed.
        code: is returned.
        said: the words of an interrupt.
    """
    if said is not None:
        raise KeyboardInterrupt(said)
    print(size, again)
    return code


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, size in ((DEFAULT, 7), ("configs/other.gin", 8)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"errand.size = {size}\n")
    monkeypatch.chdir(tmp_path)
    yield
    gin.clear_config()


def call(*arguments: str) -> int:
    return config.main(
        errand, description="Errand.", options={"again": bool}, default_config=DEFAULT, argv=arguments
    )


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        ([], "7 False"),
        (["--gin", "errand.size = 3"], "3 False"),
        (["configs/other.gin"], "8 False"),
        (["--again"], "7 True"),
        (["configs/other.gin", "--again", "--gin", "errand.again = False"], "8 True"),
    ],
)
def test_the_default_is_read_where_no_file_is_named(
    capsys: pytest.CaptureFixture[str], arguments: list[str], printed: str
) -> None:
    assert call(*arguments) == 0
    assert capsys.readouterr().out.strip() == printed


def test_help_names_the_default_and_a_flag_without_value(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert f"gin files, read in order; {DEFAULT} if none is given" in text
    assert "--again only what failed." in text


def test_an_entry_chooses_its_exit_code() -> None:
    assert call("--gin", "errand.code = 1") == 1
    assert call("--gin", "errand.code = None") == 0


def test_an_interrupt_with_words_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--gin", "errand.said = 'stopped; go on'") == 130
    assert capsys.readouterr().err == "error: stopped; go on\n"


def test_a_default_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path(DEFAULT).unlink()
    assert call() == 2
    assert f"there is no file {DEFAULT}" in capsys.readouterr().err
