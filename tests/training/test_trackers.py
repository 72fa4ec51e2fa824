from __future__ import annotations

import errno
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genrec.errors import ArtifactError
from genrec.training.trackers import JsonlTracker, Trackers, open_trackers


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_line_is_an_object_with_step_and_time(tmp_path: Path) -> None:
    tracker = JsonlTracker(tmp_path / "metrics.jsonl")
    tracker.log({"a": 1.5, "bad": math.nan, "worse": math.inf}, 3)
    (row,) = rows(tmp_path / "metrics.jsonl")  # without closing: it is written when logged
    assert row.pop("time") > 1.6e9
    assert row == {"step": 3, "a": 1.5, "bad": None, "worse": None}
    tracker.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(steps=st.lists(st.integers(1, 20), max_size=12), until=st.integers(0, 21), cut=st.integers(0, 30))
def test_resuming_keeps_whole_lines_up_to_the_step(
    tmp_path: Path, steps: list[int], until: int, cut: int
) -> None:
    path = tmp_path / "metrics.jsonl"
    tracker = JsonlTracker(path)
    for step in sorted(steps):
        tracker.log({"a": 1.0}, step)
    tracker.close()
    whole = path.read_text()
    path.write_text(whole + '{"step": 1, "time": 1700000000.0}'[:cut])
    tracker = JsonlTracker(path, resume_step=until)
    tracker.log({"b": 2.0}, until + 1)
    tracker.close()
    assert [row["step"] for row in rows(path)] == [s for s in sorted(steps) if s <= until] + [until + 1]
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_run_starts_anew(tmp_path: Path) -> None:
    for _ in range(2):
        tracker = open_trackers(tmp_path, wandb=False)
        tracker.log({"a": 1.0}, 1)
        tracker.close()
    assert len(rows(tmp_path / "metrics.jsonl")) == 1


def test_configuration_and_tables_are_files(tmp_path: Path) -> None:
    tracker = open_trackers(tmp_path, wandb=False)
    tracker.configuration("a.b = 1\n", "full.gin")
    tracker.table("quality/levels", ["level", "name"], [[0, "é"]])
    tracker.artifact(tmp_path, "ids", "semantic_ids")
    tracker.close()
    assert (tmp_path / "full.gin").read_text() == "a.b = 1\n"
    table = json.loads((tmp_path / "quality-levels.json").read_text())
    assert table == {"columns": ["level", "name"], "rows": [[0, "é"]]}


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    tracker = JsonlTracker(tmp_path / "metrics.jsonl")
    tracker.close()
    monkeypatch.setattr(tracker, "_file", Full())
    with pytest.raises(ArtifactError, match=r"metrics\.jsonl: No space left"):
        tracker.log({"a": 1.0}, 1)


def test_all_trackers_are_told(tmp_path: Path) -> None:
    both = Trackers([JsonlTracker(tmp_path / "a" / "m.jsonl"), JsonlTracker(tmp_path / "b" / "m.jsonl")])
    both.log({"x": 1.0}, 1)
    both.configuration("c", "c.gin")
    both.table("t", ["x"], [[1]])
    both.artifact(tmp_path, "n", "k")
    both.close()
    names = [sorted(path.name for path in (tmp_path / side).iterdir()) for side in "ab"]
    assert names == [["c.gin", "m.jsonl", "t.json"]] * 2
