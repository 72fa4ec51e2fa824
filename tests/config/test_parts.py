"""Scripts as parts of a larger job."""

from __future__ import annotations

from pathlib import Path

import pytest

from genrec.config import parts
from genrec.config.parts import Part, PartFailed, named_configs
from genrec.errors import ConfigError

SCRIPT = """
import json, pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
runs = pathlib.Path("runs.txt")
runs.write_text((runs.read_text() if runs.exists() else "") + " ".join(sys.argv[1:]) + "\\n")
print("said something")
if "fail = 1" in sys.argv:
    print("error: it did not want to; try again", file=sys.stderr)
    sys.exit(2)
if "crash = 1" in sys.argv:
    raise RuntimeError("a bug")
out.mkdir(parents=True)
(out / "metrics.json").write_text(json.dumps({"valid/x": 0.5}))
"""


@pytest.fixture(autouse=True)
def _repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "REPOSITORY", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.py").write_text(SCRIPT, "utf-8")
    (tmp_path / "a.gin").write_text("train.x = 1\n", "utf-8")
    (tmp_path / "b.gin").write_text("train.x = 2\n", "utf-8")


def part(gin: tuple[str, ...] = (), configs: tuple[str, ...] = ("a.gin",), before: str = "") -> Part:
    return Part.of(Path("home"), "stage", "script.py", configs, gin, before)


def runs() -> list[str]:
    return Path("runs.txt").read_text("utf-8").splitlines()


def test_a_part_is_run_once() -> None:
    one = part(("train.y = 1",))
    assert one.run("train.z = 2") == one.run("train.z = 2") == {"valid/x": 0.5}
    assert runs() == [f"a.gin --gin train.y = 1 --gin train.z = 2 --out {one.folder}"]
    assert one.folder.parent == Path("home")
    assert "said something" in one.folder.with_name(f"{one.folder.name}.log").read_text("utf-8")


def test_everything_that_was_asked_makes_another_folder() -> None:
    folders = [
        part().folder,
        part(("x = 1",)).folder,
        part(configs=("b.gin",)).folder,
        part(before="k").folder,
    ]
    Path("a.gin").write_text("train.x = 7\n", "utf-8")
    folders.append(part().folder)
    assert len(set(folders)) == 5
    assert part().folder == folders[-1]


def test_a_part_that_refuses_says_why_and_is_tried_again() -> None:
    one = part(("fail = 1",))
    for _ in range(2):
        with pytest.raises(PartFailed, match=r"^it did not want to; try again$"):
            one.run()
    assert len(runs()) == 2


def test_a_part_that_breaks_names_its_log() -> None:
    one = part(("crash = 1",))
    with pytest.raises(PartFailed, match=rf"exit code 1; see {one.folder}\.log"):
        one.run()


def test_names_of_configurations() -> None:
    assert named_configs(["x/a.gin", "x/a.gin+y/b.gin", "pq=a.gin+b.gin"]) == {
        "a": ["x/a.gin"],
        "a+b": ["x/a.gin", "y/b.gin"],
        "pq": ["a.gin", "b.gin"],
    }
    with pytest.raises(
        ConfigError, match=r"two configurations are named a; put a name in front .*other=y/a\.gin"
    ):
        named_configs(["x/a.gin", "y/a.gin"])
