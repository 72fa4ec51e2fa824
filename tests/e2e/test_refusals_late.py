"""Refusals after training began: a full disk, collapsed codebooks, results that went stale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scripts_in_child import Trouble, run
from tiny_world import N_ITEMS, payload, tree

from genrec.data.load import load_dataset
from genrec.tokenizer.store import load_ids

TOKENIZER, DECODER = Path("out/custom/tokenizer"), Path("out/custom/decoder")


def half_written(world: Path) -> list[str]:
    """Temporary files, whose names begin with a dot."""
    return [name for name in tree(world / "out") if Path(name).name.startswith(".")]


@pytest.mark.parametrize("largest", [1_000, 15_000, 30_000, 100_000])
def test_a_full_disk_leaves_nothing_half_written(fresh: Path, trained_world: Path, largest: int) -> None:
    load_dataset("custom", fresh / "data")  # the disk is full later
    trouble = Trouble(largest_file=largest)
    refusal = run("train_rqvae.py", "rqvae.gin", folder=fresh, trouble=trouble).refusal
    assert "cannot write out/custom/tokenizer/" in refusal
    assert "free" in refusal
    assert half_written(fresh) == []
    assert run("train_rqvae.py", "rqvae.gin", folder=fresh).code == 0
    assert payload(fresh / TOKENIZER) == payload(trained_world / TOKENIZER)


def test_a_disk_that_fills_up_leaves_the_old_artifact(trained: Path) -> None:
    before = payload(trained / TOKENIZER)
    trouble = Trouble(largest_file=15_000)
    refusal = run("train_rqvae.py", "kmeans.gin", folder=trained, trouble=trouble).refusal
    assert "cannot write" in refusal
    assert payload(trained / TOKENIZER) == before
    assert half_written(trained) == []
    assert run("train_decoder.py", "decoder.gin", folder=trained).code == 0


def test_a_disk_that_is_full_from_the_start_leaves_no_processed_data(fresh: Path) -> None:
    refusal = run("train_rqvae.py", "kmeans.gin", folder=fresh, trouble=Trouble(largest_file=100)).refusal
    assert "cannot write data/processed" in refusal
    assert "free disk space" in refusal
    assert sorted(path.name for path in (fresh / "data").iterdir()) == [
        ".lock",
        "interactions.csv",
        "items.csv",
    ]


@pytest.mark.parametrize("leaf", ["kmeans.gin", "rqvae.gin"])
def test_collapsed_codebooks_are_an_error_with_advice(trained: Path, leaf: str) -> None:
    before = tree(trained / TOKENIZER)
    same = ("import broken_parts as broken_parts", "train.features = @broken_parts.SameEncoder()")
    refusal = run("train_rqvae.py", leaf, *same, "--out", "out/new", folder=trained).refusal
    assert "uses 1 of 8 codes" in refusal
    assert "Assignment.min_usage" in refusal
    assert tree(trained / TOKENIZER) == before
    assert not (trained / "out/new/manifest.json").exists()


def test_a_catalogue_that_has_more_items_than_ids_keeps_the_old_artifact(trained: Path) -> None:
    before = payload(trained / TOKENIZER)
    refusal = run("train_rqvae.py", "kmeans.gin", "train.vae_n_layers = 1", folder=trained).refusal
    assert "40 items do not fit" in refusal
    assert "raise" in refusal
    assert payload(trained / TOKENIZER) == before


def test_posters_without_numbers_count_as_absent(fresh: Path) -> None:
    posters = np.random.default_rng(0).normal(size=(N_ITEMS, 8)).astype(np.float32)
    posters[3, 5], posters[4], posters[5, 0] = np.nan, 0.0, np.inf
    np.save(fresh / "posters.npy", posters)
    path = "train.poster_feature_path = 'posters.npy'"
    assert run("train_rqvae.py", "kmeans.gin", path, folder=fresh).code == 0
    stored = load_ids(fresh / TOKENIZER, load_dataset("custom", fresh / "data").items)
    assert stored.features.parts[-1] == ("image", 8)
    rows = stored.features.vectors[:, -8:]
    assert np.flatnonzero(~rows.any(axis=1)).tolist() == [3, 4, 5]
    assert run("train_decoder.py", "decoder.gin", path, folder=fresh).code == 0


def test_a_model_of_other_ids_is_not_used(trained: Path) -> None:
    assert run("train_rqvae.py", "kmeans.gin", folder=trained).code == 0
    before = tree(trained / "out")
    dataset = ("recommend.dataset = 'custom'", "recommend.dataset_folder = 'data'")
    refusal = run("experiments/recommend.py", "--user", "7", *dataset, folder=trained).refusal
    assert f"the generative_model in {DECODER} was made from semantic_ids" in refusal
    assert "train_decoder.py decoder.gin` again" in refusal
    evaluation = (
        "evaluate.dataset = 'custom'",
        "evaluate.dataset_folder = 'data'",
        "evaluate.recallers = {}",
    )
    again = run("experiments/evaluate_recall.py", *evaluation, folder=trained).refusal
    assert again == refusal
    assert tree(trained / "out") == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--user", "7", "--k", "-1"), ("k", "at least 1", "-1")),
        (("--user", "nobody"), ("user nobody is not in custom",)),
        ((), ("recommend.user is not bound",)),
        (("--user", "7", "--k", "many"), ("invalid int value", "--help")),
    ],
)
def test_recommend_refuses(trained: Path, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    dataset = ("recommend.dataset = 'custom'", "recommend.dataset_folder = 'data'")
    refusal = run("experiments/recommend.py", *arguments, *dataset, folder=trained).refusal
    assert all(word in refusal for word in words), refusal
