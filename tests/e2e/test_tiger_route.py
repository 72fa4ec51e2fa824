"""TIGER by the scripts: trained, resumed, judged and asked."""

from __future__ import annotations

import json
from pathlib import Path

from scripts_in_child import Trouble, run
from tiny_world import COMMON, manifest, payload

DECODER = "out/custom/decoder-tiger"
LEAF = (
    "include 'configs/data/custom.gin'\ninclude 'configs/model/tiger_small.gin'"
    + COMMON
    + f"""
train.dataset = %DATASET
train.out = '{DECODER}'
recipe.Recipe.patience = None
tiger.Tiger.max_length = 6
tiger.Tiger.feed_width = 32
tiger.Tiger.user_buckets = 1
tiger.Tiger.dropout = 0.1
train.decoder_embed_dim = 16
train.attn_embed_dim = 16
train.attn_heads = 2
train.attn_layers = 1
train.batch_tokens = 448
train.batch_size = 64
train.iterations = 60
train.learning_rate = 0.01
"""
)
RECALL = (
    "evaluate.dataset_folder = 'data'",
    f"evaluate.decoder_path = '{DECODER}'",
    "evaluate.ks = (5, 10)",
    "evaluate.widths = (10, 20)",
    "evaluate.indices = None",
)


def test_tiger_takes_the_route_of_every_model(trained: Path) -> None:
    (trained / "tiger.gin").write_text(LEAF, "utf-8")
    killed = run("train_decoder.py", "tiger.gin", folder=trained, trouble=Trouble(kill_at_step=30))
    assert killed.killed
    done = run("train_decoder.py", "tiger.gin", folder=trained)
    assert done.code == 0, done.err
    again = run("train_decoder.py", "tiger.gin", "--out", "again", folder=trained)
    assert again.code == 0, again.err
    assert payload(trained / "again") == payload(trained / DECODER)
    assert manifest(trained / DECODER)["facts"] == {"model": "Tiger", "part": "valid"}
    figures = json.loads((trained / DECODER / "metrics.json").read_text("utf-8"))
    assert figures["valid/generative/ndcg@10"] > 0.1
    assert not any("embedding" in name for name in figures)

    done = run("experiments/evaluate_recall.py", "configs/recall_custom.gin", *RECALL, folder=trained)
    assert done.code == 0, done.err
    found = json.loads((trained / "out/custom/recall/metrics.json").read_text("utf-8"))
    assert found["test/generative/masked/ndcg@10"] > found["test/popularity/masked/ndcg@10"]
    assert found["test/generative/unmasked/invalid"] == 0
    assert "test/embedding/masked/ndcg@10" not in found

    asked = (
        f"recommend.decoder_path = '{DECODER}'",
        "recommend.dataset = 'custom'",
        "recommend.dataset_folder = 'data'",
    )
    done = run("experiments/recommend.py", *asked, "--user", "7", folder=trained)
    assert done.code == 0, done.err
    assert "recommended (generative" in done.out
    assert done.out.count("tale") >= 12
