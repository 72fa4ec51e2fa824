from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genrec.errors import ConfigError
from genrec.training.wandb_tracker import WandbTracker, _bindings, _has_key, _run_id

JOB = """
import sys
from pathlib import Path
from genrec.training.trackers import open_trackers
folder = Path(sys.argv[1])
(folder / "ids").mkdir(parents=True)
(folder / "ids" / "codes.npy").write_bytes(b"the codes of the items")
(folder / "ids" / "other.txt").write_text("left out")
trackers = open_trackers(folder, wandb=True, name="a-run")
trackers.configuration("train.batch_size = 64\\ntrain.name = 'unlikely-name'\\n", "full.gin")
for step in (1, 2):
    trackers.log({"train/loss": step / 1024}, step)
trackers.table("quality", ["level", "usage"], [[0, 0.8125]])
trackers.artifact(folder / "ids", "ml100k/ids", "semantic_ids", ["codes.npy"])
trackers.close()
"""


def test_an_offline_run_holds_metrics_configuration_table_and_artifact(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    environment |= {
        "HOME": str(tmp_path / "home"),
        "http_proxy": "http://127.0.0.1:9",
        "NETRC": "/nonexistent",
    }
    folder = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", JOB, str(folder)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    (run,) = folder.glob("wandb/offline-run-*")
    (record,) = run.glob("run-*.wandb")
    assert record.name == f"run-{(folder / 'wandb-id.txt').read_text().strip()}.wandb"
    content = record.read_bytes()
    for said in (
        b"train/loss",
        b"0.0009765625",
        b"0.001953125",
        b"unlikely-name",
        b"train.batch_size",
        b"a-run",
    ):
        assert said in content, said
    for said in (b"ml100k-ids", b"semantic_ids", b"codes.npy", b"quality.table.json"):
        assert said in content, said
    assert b"other.txt" not in content
    copies = [path for path in (folder / "wandb" / "artifacts").rglob("*") if path.is_file()]
    assert b"the codes of the items" in [path.read_bytes() for path in copies]
    assert not any((tmp_path / "home").rglob("artifacts/staging/*"))
    (table,) = run.glob("files/media/table/*.table.json")
    assert "[[0,0.8125]]" in table.read_text()


def test_without_the_package_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"pip install 'genrec\[track\]'"):
        WandbTracker(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_looked_for_where_wandb_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert not _has_key()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password none\n")
    assert _has_key()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not _has_key()
    (tmp_path / "netrc").write_text("machine\n")
    assert not _has_key()
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert _has_key()


def test_a_resumed_run_keeps_its_id_and_a_new_one_does_not(tmp_path: Path) -> None:
    path = tmp_path / "wandb-id.txt"
    first = _run_id(path, resumed=True)
    assert _run_id(path, resumed=True) == first
    assert _run_id(path, resumed=False) != first


def test_bindings_of_a_gin_text_become_values() -> None:
    text = (
        "import x\n\n# Comment = 1\nA = 'b'\ntrain.hidden = \\\n    (1,\n     2)\na/x.Mlp.rate = @x.rate()\n"
    )
    assert _bindings(text) == {"A": "b", "train.hidden": (1, 2), "a/x.Mlp.rate": "@x.rate()"}
