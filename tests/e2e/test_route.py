"""From data to semantic ids to a model, by the scripts."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from scripts_in_child import ROOT, run
from tiny_world import manifest, payload, tree

from genrec.data.load import load_dataset
from genrec.generative.store import load_model
from genrec.tokenizer.store import load_ids
from genrec.training.checkpoint import Checkpoints

TOKENIZER, DECODER = "out/custom/tokenizer", "out/custom/decoder"
STAGES = [("train_rqvae.py", "rqvae.gin", TOKENIZER), ("train_decoder.py", "decoder.gin", DECODER)]


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]


def weights_of_last(folder: Path) -> dict[str, object]:
    """Progress of the last checkpoint but for the time it took."""
    progress = Checkpoints(folder / "checkpoints").progress("last")
    assert progress is not None
    return {name: value for name, value in progress.items() if name != "seconds"}


def test_both_artifacts_load_and_name_what_they_were_made_from(trained_world: Path) -> None:
    data = load_dataset("custom", trained_world / "data")
    stored = load_ids(trained_world / TOKENIZER, data.items)
    assert len(stored.ids) == len(data.items) == 40
    model = load_model(trained_world / DECODER, stored)
    assert model.tree.n_items == 40
    tokenizer, decoder = manifest(trained_world / TOKENIZER), manifest(trained_world / DECODER)
    assert tokenizer["inputs"]["dataset"] == {"path": "custom", "hash": data.content_hash}
    assert tokenizer["inputs"]["item_features"]["hash"]
    assert decoder["inputs"]["semantic_ids"] == {"path": TOKENIZER, "hash": stored.identity}
    assert decoder["rerun"].endswith("train_decoder.py decoder.gin")


@pytest.mark.parametrize("stage", [TOKENIZER, DECODER])
def test_figures_are_flat_numbers_and_curves_are_kept(trained_world: Path, stage: str) -> None:
    figures = json.loads((trained_world / stage / "metrics.json").read_text("utf-8"))
    assert figures
    assert all(type(value) in (int, float) and math.isfinite(value) for value in figures.values())
    curve = [row["train/loss"] for row in rows(trained_world / stage) if "train/loss" in row]
    assert len(curve) >= 5
    if stage == DECODER:
        assert curve[-1] < curve[0]
        assert figures["valid/generative/ndcg@10"] > 0.1
    else:
        assert figures["tokenizer/collision_rate"] == 0.0


def test_the_quality_page_needs_no_network(trained_world: Path) -> None:
    page = (trained_world / TOKENIZER / "quality.html").read_text("utf-8")
    assert "<svg" in page
    assert "quarter" in page, "titles of example items"
    assert re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?!data:|#)[^"')>]+""", page) == []


@pytest.mark.parametrize(("script", "leaf", "stage"), STAGES)
def test_the_stored_configuration_gives_the_same_bytes(
    trained: Path, script: str, leaf: str, stage: str
) -> None:
    outcome = run(script, f"{stage}/config.gin", "--out", "again", folder=trained)
    assert outcome.code == 0, outcome.err
    assert payload(trained / "again") == payload(trained / stage)
    outcome = run(script, f"{stage}/config-full.gin", folder=trained)
    assert outcome.code == 0, "the full configuration is that of the checkpoint: " + outcome.err


def test_a_process_of_its_own_gives_the_same_bytes(fresh: Path, trained_world: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "train_rqvae.py"), "rqvae.gin"],
        cwd=fresh,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"semantic ids of 40 items in {TOKENIZER}")
    assert payload(fresh / TOKENIZER) == payload(trained_world / TOKENIZER)


@pytest.mark.parametrize(("script", "leaf", "stage"), STAGES)
def test_a_finished_run_is_not_trained_again(trained: Path, script: str, leaf: str, stage: str) -> None:
    before, curves = tree(trained / stage / "checkpoints"), rows(trained / stage)
    made = payload(trained / stage)
    outcome = run(script, leaf, folder=trained)
    assert outcome.code == 0, outcome.err
    assert tree(trained / stage / "checkpoints") == before
    assert rows(trained / stage) == curves
    assert payload(trained / stage) == made


@pytest.mark.parametrize(("script", "leaf", "stage"), STAGES)
def test_another_configuration_on_a_checkpoint_is_refused(
    trained: Path, script: str, leaf: str, stage: str
) -> None:
    before = tree(trained / "out")
    refusal = run(script, leaf, "train.learning_rate = 0.1", folder=trained).refusal
    assert "another configuration" in refusal
    assert "--out" in refusal
    assert tree(trained / "out") == before


def test_patience_ends_training_with_the_best_weights(trained: Path) -> None:
    overrides = ["train.iterations = 400", "recipe.Recipe.patience = 2", "train.learning_rate = 0.1"]
    outcome = run("train_decoder.py", "decoder.gin", *overrides, "--out", "early", folder=trained)
    assert outcome.code == 0, outcome.err
    folder = trained / "early"
    judged = {
        row["step"]: row["valid/generative/ndcg@10"] for row in rows(folder) if "valid/mean/ndcg@10" in row
    }
    best = max(judged, key=lambda step: (judged[step], -step))
    assert max(judged) < 400
    assert [step for step in judged if step > best] == list(judged)[-2:]
    figures = json.loads((folder / "metrics.json").read_text("utf-8"))
    assert figures["train/best_step"] == best
    assert figures["valid/generative/ndcg@10"] == judged[best]
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [
        "best.safetensors",
        "last.safetensors",
    ]
    progress = weights_of_last(folder)
    assert (progress["step"], progress["best_step"]) == (max(judged), best)


def test_random_ids_and_their_decoder_stand_beside_the_others(trained: Path) -> None:
    before = tree(trained / "out")
    (trained / "random.gin").write_text(
        "include 'kmeans.gin'\ninclude 'configs/model/random_ids.gin'\ntrain.out = 'out/custom/tokenizer-random'\n"
    )
    control = [
        "train.semantic_ids_path = 'out/custom/tokenizer-random'",
        "train.out = 'out/custom/decoder-random'",
    ]
    for outcome in (
        run("train_rqvae.py", "random.gin", folder=trained),
        run("train_decoder.py", "decoder.gin", *control, folder=trained),
    ):
        assert outcome.code == 0, outcome.err
    assert manifest(trained / "out/custom/tokenizer-random")["facts"]["tokenizer"] == "RandomIds"
    assert manifest(trained / "out/custom/decoder-random")["inputs"]["semantic_ids"]["path"].endswith(
        "-random"
    )
    after = tree(trained / "out")
    assert {name: after[name] for name in before} == before
