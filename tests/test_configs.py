"""The gin files as shipped: each leaf is accepted by a script, types and all, and each part is used by a leaf."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path, PurePosixPath

import gin
import pytest

from genrec.config.reader import Reader, registered
from genrec.errors import GenrecError
from genrec.ranking.models.base import rank_models

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = [
    path
    for path in (*ROOT.glob("*.py"), *ROOT.glob("experiments/*.py"))
    if "config.main(" in path.read_text()
]
SPACES = "configs/recall/spaces"  # what tuning tries, read beside a leaf
LEAVES = sorted(
    path
    for path in (
        *ROOT.glob("configs/*.gin"),
        *ROOT.glob("configs/recall/*/*.gin"),
        *ROOT.glob("configs/rank/*/*.gin"),
    )
    if path.parent != ROOT / SPACES
)
RECALLERS = sorted(path for path in ROOT.glob("configs/recall/*.gin") if path.stem != "base")
RANKERS = {path.stem for path in ROOT.glob("configs/rank/*.gin")} - {
    "base", "features", "judge", "protocol", "random",
}  # fmt: skip

Entry = Callable[..., object]


@pytest.fixture(autouse=True)
def _clean_gin() -> Iterator[None]:
    yield
    gin.clear_config()


@pytest.fixture(scope="module")
def entries() -> dict[str, Entry]:
    """Script -> its entry function, the one it hands to `config.main`."""
    return {path.relative_to(ROOT).as_posix(): entry_of(path) for path in SCRIPTS}


def entry_of(script: Path) -> Entry:
    """The entry function of a script, imported under a name of its own."""
    spec = spec_from_file_location(f"script_{script.stem}", script)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    name = re.search(r"config\.main\(\s*(\w+)", script.read_text("utf-8"))
    assert name is not None
    entry: Entry = getattr(module, name[1])
    return entry


def tiny(*, size: int, out: str | None = None) -> None:
    """An entry function with one required argument."""


def complaint(entry: Entry, leaf: Path) -> str:
    """What reading and checking a leaf for an entry function objects to; empty if nothing."""
    try:
        Reader(registered(entry)).read(Namespace(config=[str(leaf)], gin=[], out=None), ("out",))
    except GenrecError as error:
        return str(error)
    return ""


def included(path: str, files: dict[str, str]) -> set[str]:
    """What a gin file includes, by path below the root; as written where no such file is there."""
    names = re.findall(r"^\s*include\s+['\"](.+?)['\"]", files[path], re.MULTILINE)
    folders = [parent.as_posix() for parent in PurePosixPath(path).parents]
    places = [[(PurePosixPath(folder) / name).as_posix() for folder in folders] for name in names]
    return {next((place for place in one if place in files), one[-1]) for one in places}


def unused_parts(files: dict[str, str]) -> set[str]:
    """Of gin files by path: those in subfolders of configs/ that no leaf includes, directly or not."""
    reached = {path for path in files if path.count("/") == 1 or re.match("configs/(recall|rank)/.+/", path)}
    frontier = reached
    while frontier:
        frontier = {name for path in frontier for name in included(path, files) if name in files} - reached
        reached = reached | frontier
    return set(files) - reached


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda path: path.relative_to(ROOT / "configs").as_posix())
def test_every_leaf_is_accepted_by_a_script(leaf: Path, entries: dict[str, Entry]) -> None:
    complaints = {script: complaint(entry, leaf) for script, entry in entries.items()}
    assert "" in complaints.values(), complaints


@pytest.mark.parametrize(
    "text",
    [
        "tiny.size = 'many'",
        "tiny.sise = 1\ntiny.size = 1",
        "tiny.size = @nothing.Here()",
        "include 'gone.gin'",
        "",
    ],
)
def test_a_broken_leaf_is_found(tmp_path: Path, text: str) -> None:
    leaf = tmp_path / "leaf.gin"
    leaf.write_text("tiny.size = 1", "utf-8")
    assert complaint(tiny, leaf) == ""
    leaf.write_text(text, "utf-8")
    assert complaint(tiny, leaf) != ""


@pytest.mark.parametrize("path", RECALLERS, ids=lambda path: path.stem)
def test_every_recaller_has_the_name_of_its_file_and_the_usual_data(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.findall("^train.model = (.*)$", text, re.MULTILINE) == [f"'{path.stem}'"]
    assert len(re.findall("^train.recaller = ", text, re.MULTILINE)) == 1
    assert "include 'configs/recall/base.gin'" in text


def test_every_rank_model_has_a_file_of_its_name() -> None:
    assert set(rank_models()) == RANKERS
    for name in RANKERS:
        text = (ROOT / f"configs/rank/{name}.gin").read_text("utf-8")
        assert re.findall("^train.model = (.*)$", text, re.MULTILINE) == [f"'{name}'"]
        assert re.findall(r"^train.network = @(\w+)\.", text, re.MULTILINE) == [name]
        assert "include 'configs/rank/base.gin'" in text


def test_every_gin_file_is_used() -> None:
    files = {
        path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in ROOT.glob("configs/**/*.gin")
    }
    assert unused_parts(files) == set()
    assert {name for path in files for name in included(path, files)} <= set(files)


def test_an_unused_gin_file_is_found() -> None:
    files = {
        "configs/a.gin": "include 'configs/data/b.gin'",
        "configs/data/b.gin": 'include "c.gin"  # beside it',
        "configs/data/c.gin": "# include 'configs/data/stale.gin'",
        "configs/data/stale.gin": "",
        "configs/recall/data/leaf.gin": "include 'configs/recall/one.gin'",
        "configs/recall/one.gin": "",
        "configs/recall/stale.gin": "",
    }
    assert unused_parts(files) == {"configs/data/stale.gin", "configs/recall/stale.gin"}
