"""The house: lock, Makefile, continuous integration, and documents fit each other."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCK = (ROOT / "requirements.lock").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def locked(text: str) -> dict[str, Version]:
    """Canonical name -> version of every line; ValueError at a line that is not `name==version`."""
    versions: dict[str, Version] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = re.fullmatch(r"([A-Za-z0-9][\w.-]*)==([\w.!+]+)", line)
        if not match:
            raise ValueError(f"not an exact version: {line}")
        versions[canonicalize_name(match[1])] = Version(match[2])
    return versions


def declared(project: dict[str, dict[str, object]]) -> list[Requirement]:
    """What pyproject names: dependencies, every extra, and what builds the package."""
    table = project["project"]
    extras = table["optional-dependencies"]
    assert isinstance(extras, dict)
    groups = [table["dependencies"], project["build-system"]["requires"], *extras.values()]
    return [Requirement(line) for group in groups for line in group]


def unlocked(requirements: list[Requirement], versions: dict[str, Version]) -> list[str]:
    """Requirements that the lock does not name, or pins to a version they do not allow."""
    return [
        str(one)
        for one in requirements
        if canonicalize_name(one.name) not in versions
        or not one.specifier.contains(versions[canonicalize_name(one.name)], prereleases=True)
    ]


def closure(requirements: list[Requirement]) -> set[str]:
    """Canonical names of what these requirements bring along here; what is not installed is left out."""
    seen: set[tuple[str, str]] = set()
    todo = [(one, extra) for one in requirements for extra in ("", *one.extras)]
    while todo:
        one, extra = todo.pop()
        key = (canonicalize_name(one.name), extra)
        if key in seen:
            continue
        try:
            needs = [Requirement(line) for line in metadata.requires(one.name) or []]
        except metadata.PackageNotFoundError:
            continue
        seen.add(key)
        wanted = [need for need in needs if not need.marker or need.marker.evaluate({"extra": extra})]
        todo += [(need, inner) for need in wanted for inner in ("", *need.extras)]
    return {name for name, _ in seen}


def missing_paths(text: str) -> set[str]:
    """Project files that a document's commands and links name but that do not exist."""
    named = re.findall(r"(?<![\w/.-])((?:configs|experiments|genrec|tests)/[\w./-]*\w|train_\w+\.py)", text)
    return {path for path in named if not (ROOT / path).exists()}


def missing_targets(text: str) -> set[str]:
    """`make` targets that a document names in code but the Makefile lacks."""
    named = re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE)
    return set(named) - set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run make as a user would, whatever make we were started from."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )


def test_lock_covers_everything_declared_and_what_that_brings() -> None:
    requirements, versions = declared(PROJECT), locked(LOCK)
    assert unlocked(requirements, versions) == []
    assert closure(requirements) - set(versions) == set()


def test_an_uncovered_requirement_is_found() -> None:
    versions = locked("# made by hand\ntorch==2.14.1\nJinja2==3.1.6\n")
    wanted = [Requirement(line) for line in ("torch>=2.6", "jinja2>=4", "typing_extensions", "Torch==2.14.1")]
    assert unlocked(wanted, versions) == ["jinja2>=4", "typing_extensions"]


def test_the_closure_follows_extras_and_transitive_requirements() -> None:
    assert {"pytest", "iniconfig", "pluggy"} <= closure([Requirement("pytest")])


def test_lock_pairs_torch_and_torchvision() -> None:
    versions = locked(LOCK)
    assert (str(versions["torch"]), str(versions["torchvision"])) == ("2.14.1", "0.29.1")


def test_lock_is_sorted_and_names_how_it_is_made() -> None:
    header, lines = LOCK.splitlines()[:2], LOCK.splitlines()[2:]
    assert all(line.startswith("#") for line in header)
    assert "make lock" in " ".join(header)
    assert lines == sorted(lines, key=str.upper)
    assert "genrec" not in locked(LOCK)


@pytest.mark.parametrize(
    "line",
    [
        "torch>=2",
        "torch",
        "-e .",
        "torch @ file:///x.whl",
        "--index-url https://example.org",
        "https://x.org/a.whl",
    ],
)
def test_an_inexact_line_is_found(line: str) -> None:
    with pytest.raises(ValueError, match="not an exact version"):
        locked(line)


def test_ci_runs_make_test_and_nothing_else() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    commands = [line for line in script.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    assert commands[-1] == "exec make test"
    assert len(commands) <= 3


def test_make_test_runs_every_check() -> None:
    recipe = make("-n", "test").stdout
    for check in ("ruff check", "ruff format --check", "-m mypy", "-m pytest"):
        assert check in recipe


def test_make_demo_trains_evaluates_and_shows_the_table() -> None:
    recipe = make("-n", "-B", "demo").stdout
    commands = re.findall(r"^\S+python ((?:train|experiments).*?)(?: >.*)?$", recipe, re.MULTILINE)
    order = {command.split("/")[-1]: position for position, command in enumerate(commands)}
    assert order["rqvae_ml100k.gin"] < order["decoder_ml100k.gin"] < order["recall_ml100k.gin"]
    assert order["random_ml100k.gin"] < order["decoder_random_ml100k.gin"] < order["recall_ml100k.gin"]
    assert recipe.rstrip().endswith("cat out/ml100k/comparison.txt")


def test_make_help_lists_every_target() -> None:
    targets = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert targets is not None
    assert [line.split()[0] for line in make().stdout.splitlines()] == targets[1].split()


def test_an_old_python_is_refused_in_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "a clone"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        (folder / name).write_text((ROOT / name).read_text("utf-8"), "utf-8")
    old = folder / "python"
    old.write_text("#!/bin/sh\nexit 1\n", "utf-8")
    old.chmod(0o755)
    run = make("install", "PYTHON=./python", folder=folder)
    assert run.returncode != 0
    assert run.stderr.startswith("genrec needs Python 3.11 or newer, but './python' is not")
    assert not (folder / ".venv").exists()


def test_license_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert len(text.splitlines()) == 202
    assert all(f"   {number}. " in text for number in range(1, 10))
    assert "END OF TERMS AND CONDITIONS" in text


def test_documents_name_what_exists() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    contributing = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert missing_paths(readme) == set()
    assert missing_targets(readme) | missing_targets(contributing) == set()


def test_a_stale_document_is_found() -> None:
    text = "Run `make launch`, then `python experiments/gone.py configs/gone.gin`, see genrec/errors.py."
    assert missing_paths(text) == {"experiments/gone.py", "configs/gone.gin"}
    assert missing_targets(text) == {"launch"}
