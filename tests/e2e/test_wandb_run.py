"""Both trainers log to Weights & Biases without a key, a home, or a network."""

from __future__ import annotations

from pathlib import Path

from scripts_in_child import Trouble, run
from tiny_world import manifest


def test_an_offline_run_holds_figures_configuration_and_artifacts(fresh: Path) -> None:
    home = fresh / "home"
    home.mkdir()
    alone = Trouble(
        environment={
            "HOME": str(home),
            "NETRC": str(home / "none"),
            "WANDB_API_KEY": None,
            "WANDB_MODE": None,
            "http_proxy": "http://127.0.0.1:9",
            "https_proxy": "http://127.0.0.1:9",
        }
    )
    for script, leaf, stage, said in (
        (
            "train_rqvae.py",
            "rqvae.gin",
            "tokenizer",
            (b"semantic-ids", b"codes", b"semantic_ids-figures", b"features-"),
        ),
        ("train_decoder.py", "decoder.gin", "decoder", (b"generative-model", b"model", b"ndcg@10")),
    ):
        outcome = run(script, leaf, "train.wandb_logging = True", folder=fresh, trouble=alone)
        assert outcome.code == 0, outcome.err
        folder = fresh / "out" / "custom" / stage
        (record,) = folder.glob("wandb/offline-run-*/run-*.wandb")
        content = record.read_bytes()
        for word in (b"train/loss", b"train.learning_rate", b"config-full.gin", b"config.gin", *said):
            assert word in content, word
        copies = {path.read_bytes() for path in (folder / "wandb" / "artifacts").rglob("*") if path.is_file()}
        stored = [folder / file["path"] for file in manifest(folder)["files"].values()]
        assert {path.read_bytes() for path in (*stored, folder / "manifest.json")} <= copies
