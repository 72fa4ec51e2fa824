"""The command line as a process of its own, where the entry function is in `__main__`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import tiny_script


def shell(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(tiny_script.__file__), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def facts(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    loaded: dict[str, Any] = json.loads(done.stdout)
    return loaded


def test_both_texts_are_read_back_to_the_same_run(files: Path) -> None:
    overrides = ["--gin", "train.batch_size=3", "--gin", "train.make=@parts.Deep", "--out", "o"]
    first = facts(shell("configs/leaf.gin", *overrides, folder=files))
    for name in ("full", "operative"):
        assert "__main__" not in first[name]
        assert "\ntrain.batch_size = 3\n" in first[name]
        (files / f"{name}.gin").write_text(first[name])
        again = facts(shell(f"{name}.gin", folder=files))
        assert {key: value for key, value in again.items() if key not in {"full", "operative"}} == {
            key: value for key, value in first.items() if key not in {"full", "operative"}
        }
    assert "learning_rate = 0.001" in first["operative"]
    assert "learning_rate" not in first["full"]


def test_a_refusal_is_one_line_on_stderr_and_exit_code_2(files: Path) -> None:
    done = shell("configs/leaf.gin", "--gin", "train.batch_size='a'", folder=files)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: train.batch_size = 'a' (--gin): expected int\n"


def test_a_bug_has_its_traceback(files: Path) -> None:
    done = shell("configs/leaf.gin", "--gin", "train.fault='bug'", folder=files)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "IndexError: a bug" in done.stderr
