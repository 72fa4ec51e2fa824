"""The several-seeds script on the small world: every stage once, and again nothing."""

from __future__ import annotations

import json
from pathlib import Path

from scripts_in_child import run
from tiny_world import make_world

FILES = {
    "recall.gin": """
include 'configs/recall_custom.gin'
evaluate.dataset_folder = 'data'
evaluate.ks = (5, 10)
evaluate.width = 20
evaluate.widths = (10, 20)
evaluate.indices = None
""",
    "reproduce.gin": """
reproduce.tokenizer = 'kmeans.gin'
reproduce.decoder = 'decoder.gin'
reproduce.recall = 'recall.gin'
reproduce.seeds = (0, 1)
""",
}


def test_seeds_are_run_once_and_averaged(tmp_path: Path) -> None:
    folder = make_world(tmp_path)
    for name, text in FILES.items():
        (folder / name).write_text(text, "utf-8")
    script = ("experiments/reproduce_beauty.py", "reproduce.gin", "--out", "out/all")
    done = run(*script, folder=folder)
    assert done.code == 0, done.err
    home = folder / "out/all"
    runs = [json.loads((home / f"recall-{seed}/metrics.json").read_text("utf-8")) for seed in (0, 1)]
    found = json.loads((home / "metrics.json").read_text("utf-8"))
    name = "test/generative/masked/ndcg@10"
    assert runs[0][name] != runs[1][name]
    assert abs(found[name] - (runs[0][name] + runs[1][name]) / 2) < 1e-9
    assert (home / "table.txt").read_text("utf-8").strip() in done.out

    before = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.parent != home}
    (home / "recall-1/metrics.json").unlink()  # as if it had been stopped there
    again = run(*script, folder=folder)
    assert again.code == 0, again.err
    kept = {path: when for path, when in before.items() if "recall-1" not in str(path)}
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    assert json.loads((home / "metrics.json").read_text("utf-8"))[name] == found[name]


def test_a_failed_stage_says_where_to_look(tmp_path: Path) -> None:
    folder = make_world(tmp_path)
    for name, text in FILES.items():
        (folder / name).write_text(text, "utf-8")
    (folder / "data/items.csv").unlink()
    (folder / "data/interactions.csv").unlink()
    done = run("experiments/reproduce_beauty.py", "reproduce.gin", "--out", "out/all", folder=folder)
    assert done.code == 2
    assert "train_rqvae.py failed" in done.err
    assert "tokenizer.log" in done.err
