"""The text of gin files, includes and all."""

from __future__ import annotations

from pathlib import Path

import pytest

from genrec.config.sources import sources
from genrec.errors import ConfigError


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "parts").mkdir()
    (tmp_path / "leaf.gin").write_text("include 'parts/one.gin'\ntrain.x = 1\n", "utf-8")
    (tmp_path / "parts/one.gin").write_text('  include "two.gin"  # beside it\ntrain.y = 2\n', "utf-8")
    (tmp_path / "parts/two.gin").write_text("# include 'gone.gin'\ntrain.z = @not.known()\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_includes_are_followed(files: Path) -> None:
    text = sources(["leaf.gin"])
    assert all(line in text for line in ("train.x = 1", "train.y = 2", "train.z = @not.known()"))
    assert sources(["leaf.gin"]) == text
    assert sources(["parts/two.gin", "leaf.gin"]) != text


@pytest.mark.parametrize("name", ["leaf.gin", "parts/one.gin", "parts/two.gin"])
def test_a_change_anywhere_changes_the_text(files: Path, name: str) -> None:
    before = sources(["leaf.gin"])
    (files / name).write_text((files / name).read_text("utf-8") + "train.w = 3\n", "utf-8")
    assert sources(["leaf.gin"]) != before


def test_the_repositorys_own_files_are_found(files: Path) -> None:
    assert "RqKMeans" in sources(["configs/rqvae_ml100k.gin"])


def test_what_cannot_be_read(files: Path) -> None:
    with pytest.raises(ConfigError, match=r"no file laef\.gin"):
        sources(["laef.gin"])
    (files / "parts/two.gin").write_text("include 'one.gin'", "utf-8")
    with pytest.raises(ConfigError, match=r"parts/one\.gin includes itself"):
        sources(["leaf.gin"])
