"""New items beside old ones, and tokenizers side by side, by the scripts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scripts_in_child import run
from tiny_world import N_ITEMS, catalogue, manifest, payload, tree

from genrec.data.load import load_dataset
from genrec.tokenizer.store import load_ids

TOKENIZER = "out/custom/tokenizer"


def test_new_items_join_a_trained_tokenizer(trained: Path) -> None:
    before = tree(trained / "out")
    old = load_ids(trained / TOKENIZER, load_dataset("custom", trained / "data").items)
    more = catalogue().assign(item_id=lambda items: items["item_id"] + N_ITEMS).iloc[:9]
    larger = trained / "larger"
    larger.mkdir()
    (larger / "interactions.csv").write_bytes((trained / "data/interactions.csv").read_bytes())
    with (larger / "items.csv").open("w", encoding="utf-8") as file:
        file.write(catalogue().to_csv(index=False) + more.to_csv(index=False, header=False))
    fit = "extension.Extension.min_fit = 0.0"  # 40 items are few for 128 columns
    outcome = run("experiments/add_items.py", TOKENIZER, "--dataset-folder", "larger", fit, folder=trained)
    assert outcome.code == 0, outcome.err
    assert {name: content for name, content in tree(trained / "out").items() if name in before} == before
    new = load_ids(trained / f"{TOKENIZER}-extended", load_dataset("custom", larger).items)
    assert np.array_equal(new.ids.codes[:N_ITEMS], old.ids.codes)
    assert len(np.unique(new.ids.codes, axis=0)) == N_ITEMS + 9
    assert new.lineage == (old.identity,)
    files = [payload(trained / folder) for folder in (TOKENIZER, f"{TOKENIZER}-extended")]
    assert files[0]["tokenizer.safetensors"] == files[1]["tokenizer.safetensors"], "nothing was trained"
    assert manifest(trained / f"{TOKENIZER}-extended")["inputs"]["extends"]["path"] == TOKENIZER
    for arguments, word in (
        (("nowhere",), "no tokenizer in nowhere"),
        ((TOKENIZER, "--out", TOKENIZER), "another folder"),
    ):
        refused = run("experiments/add_items.py", *arguments, folder=trained)
        assert refused.code == 2
        assert word in refused.err


def test_tokenizers_are_compared_and_finished_parts_are_kept(fresh: Path) -> None:
    (fresh / "full.gin").write_text("include 'kmeans.gin'\ntrain.vae_codebook_size = 2\n", "utf-8")
    line = ["kmeans.gin", "tight=full.gin", "--decoder", "decoder.gin", "train.iterations = 5"]
    outcome = run("experiments/compare_tokenizers.py", *line, folder=fresh)
    assert outcome.code == 2, "one of them failed"
    lines = outcome.out.splitlines()
    assert lines[1].split()[:4] == ["kmeans", "RqKMeans", "3", "x"]
    assert any(one.startswith("tight: 40 items do not fit into codebooks of 2 x 2 x 2") for one in lines)
    figures = json.loads((fresh / "out/tokenizers/metrics.json").read_text("utf-8"))
    assert figures["tokenizer/kmeans/collision_rate"] == 0
    assert figures["valid/kmeans/masked/ndcg@10"] > 0
    assert not [key for key in figures if key.startswith("test/")]
    kept = tree(fresh / "out/tokenizers/kmeans")
    again = run("experiments/compare_tokenizers.py", *line, folder=fresh)
    assert again.out == outcome.out
    assert tree(fresh / "out/tokenizers/kmeans") == kept
    assert "kmeans/decoder" not in again.err
