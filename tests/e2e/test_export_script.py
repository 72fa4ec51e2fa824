"""A trained model leaves for a folder of its own, and recommends there without the data."""

from __future__ import annotations

import shutil
from pathlib import Path

from scripts_in_child import Trouble, run

from genrec.generative.export import load

EXPORT = (
    "experiments/export_model.py",
    "--to",
    "exported",
    "--dataset",
    "custom",
    "export.dataset_folder = 'data'",
)


def test_a_model_is_exported_and_recommends(trained: Path, tmp_path: Path) -> None:
    outcome = run(*EXPORT, folder=trained)
    assert outcome.code == 0, outcome.err
    assert "load('exported')" in outcome.out
    away = Path(shutil.move(trained / "exported", tmp_path / "away"))
    shutil.rmtree(trained)
    found = load(away).recommend([3, 4, 6], k=5)
    assert len(found) == 5
    assert not {3, 4, 6} & {item for item, _ in found}
    assert "| valid/generative/ndcg@10 |" in (away / "README.md").read_text("utf-8")


def test_a_push_without_a_token_is_refused(trained: Path) -> None:
    trouble = Trouble(environment={"HF_TOKEN": None})
    assert (
        "HF_TOKEN is not set" in run(*EXPORT, "--push", "ann/tales", folder=trained, trouble=trouble).refusal
    )
    assert load(trained / "exported").recommend([3])


def test_without_a_trained_model_there_is_nothing_to_export(fresh: Path) -> None:
    assert "no semantic_ids artifact in out/custom/tokenizer" in run(*EXPORT, folder=fresh).refusal
