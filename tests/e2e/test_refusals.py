"""Bad input: exit code 2, one sentence that names cause and cure, and nothing written."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scripts_in_child import run
from tiny_world import N_ITEMS, catalogue, payload, tree, walks

TOKENIZER, DECODER = Path("out/custom/tokenizer"), Path("out/custom/decoder")
Harm = Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """What is wrong, and words that the refusal must have.

    Attributes:
        arguments: of the script; with ` = ` they are bindings.
        words: of cause and cure.
        harm: done to the world's folder before.
    """

    arguments: tuple[str, ...]
    words: tuple[str, ...]
    harm: Harm | None = None


def events(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Harm:
    return lambda world: change(walks()).to_csv(world / "data/interactions.csv", index=False)


def items(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Harm:
    return lambda world: change(catalogue()).to_csv(world / "data/items.csv", index=False)


def removed(name: str) -> Harm:
    return lambda world: (world / name).unlink()


def posters(*shape: int) -> Harm:
    return lambda world: np.save(world / "posters.npy", np.ones(shape, dtype=np.float32))


def cut_posters(world: Path) -> None:
    posters(N_ITEMS, 16)(world)
    whole = (world / "posters.npy").read_bytes()
    (world / "posters.npy").write_bytes(whole[:-100])


def cut_archive(world: Path) -> None:
    (world / "small").mkdir()
    archive = world / "small" / "ml-latest-small.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("ml-latest-small/ratings.csv", "userId,movieId,rating,timestamp\n" + "1,1,4.0,5\n" * 99)
    archive.write_bytes(archive.read_bytes()[:-60])


def other_archive(world: Path) -> None:
    (world / "one").mkdir()
    with zipfile.ZipFile(world / "one" / "ml-1m.zip", "w") as file:
        file.writestr("ml-1m/ratings.dat", "1::1::5::978300760\n")


def text_as_number(world: Path) -> None:
    (world / "small").mkdir()
    (world / "small/movies.csv").write_text("movieId,title,genres\n1,Heat (1995),Action\n")
    (world / "small/ratings.csv").write_text("userId,movieId,rating,timestamp\n1,1,four,9\n")


KMEANS, RQVAE = "kmeans.gin", "rqvae.gin"
SMALL = ("configs/rqvae_ml_latest_small.gin", "train.dataset_folder = 'small'")
POSTERS = "train.poster_feature_path = 'posters.npy'"
NAN = ("import broken_parts as broken_parts", "train.features = @broken_parts.NanEncoder()")

TOKENIZER_CASES = {
    "missing config": Case(("kmaens.gin",), ("kmaens.gin", "did you mean kmeans.gin")),
    "no config": Case((), ("train.dataset is not bound", "add a line")),
    "missing folder": Case((KMEANS, "train.dataset_folder = 'gone'"), ("gone", "put interactions")),
    "missing file": Case((KMEANS,), ("data", "put interactions"), removed("data/items.csv")),
    "unknown dataset": Case((KMEANS, "train.dataset = 'ml100'"), ("'ml100' is unknown", "choose one of")),
    "wrong column": Case(
        (KMEANS,), ("lacks the column item_id", "thing"), events(lambda e: e.rename(columns={"item_id": "thing"}))
    ),
    "duplicate ids": Case(
        (KMEANS,), ("item_id 5 occurs more than once", "keep one row"), items(lambda i: pd.concat([i, i[5:6]]))
    ),
    "text as number": Case(SMALL, ("ratings.csv, line 2", "'four'", "repair the line"), text_as_number),
    "empty split": Case(
        (KMEANS,), ("valid part empty", "more data"), events(lambda e: e[e["timestamp"] < 2])
    ),
    "no order": Case((KMEANS,), ("timestamp", "RandomSplit"), events(lambda e: e.drop(columns="timestamp"))),
    "negative iterations": Case((RQVAE, "train.iterations = -5"), ("train.iterations", "at least 1", "-5")),
    "zero batch": Case((RQVAE, "train.batch_size = 0"), ("train.batch_size", "at least 1")),
    "negative rate": Case((RQVAE, "train.learning_rate = -0.1"), ("train.learning_rate", "above 0")),
    "negative codebook": Case((KMEANS, "train.vae_codebook_size = -8"), ("codebook_size", "at least 2")),
    "not of this tokenizer": Case(
        (KMEANS, "train.commitment_weight = 0.1"), ("commitment_weight", "remove the binding")
    ),
    "nan from an encoder": Case((KMEANS, *NAN), ("NaN", "item 7", "re-run the encoder")),
    "missing posters": Case((KMEANS, POSTERS), ("posters.npy do not exist", "poster_features.py")),
    "posters of others": Case((KMEANS, POSTERS), ("39 rows", "40 items", "again"), posters(N_ITEMS - 1, 8)),
    "flat posters": Case((KMEANS, POSTERS), ("expected floats [N, D]",), posters(N_ITEMS)),
    "cut posters": Case((KMEANS, POSTERS), ("not a whole .npy file", "again"), cut_posters),
    "another width": Case(
        (RQVAE, POSTERS, "train.vae_input_dim = 999"),
        ("999", "64 text", "64 collaborative", "8 image", "set it to 136"),
        posters(N_ITEMS, 8),
    ),
    "cut archive": Case(SMALL, ("ml-latest-small.zip", "put ratings.csv"), cut_archive),
    "checksum": Case(
        ("configs/rqvae_ml1m.gin", "train.dataset_folder = 'one'"), ("ml-1m.zip", "md5"), other_archive
    ),
    "unknown name": Case((KMEANS, "rqkmean.RqKMeans.seed = 1"), ("rqkmean", "did you mean rqkmeans")),
    "unknown parameter": Case((KMEANS, "train.learning_rat = 1.0"), ("did you mean learning_rate",)),
    "wrong type": Case((KMEANS, "train.vae_codebook_size = 'big'"), ("vae_codebook_size", "expected int")),
    "unknown macro": Case((KMEANS, "train.dataset = %DATASE"), ("DATASE", "did you mean DATASET")),
    "missing binding": Case((KMEANS, "steps.PcaWhiten.power = 0.5", "text/steps.Steps.steps = [@steps.PcaWhiten()]"),
        ("PcaWhiten.width is not bound", "add a line")),
    "averaged weights": Case((RQVAE, "recipe.Recipe.ema = 0.9"), ("Recipe.ema", "leave it None", "codebooks.Ema")),
    "no split of amazon": Case(
        ("configs/rqvae_amazon.gin", "train.dataset_split = 'books'"), ("'books'", "beauty, sports, toys")
    ),
}  # fmt: skip


def refused(script: str, case: Case, world: Path) -> None:
    """The case is refused in its words, and no file below `out` is new or changed."""
    if case.harm is not None:
        case.harm(world)
    before = tree(world / "out")
    refusal = run(script, *case.arguments, folder=world).refusal
    for word in case.words:
        assert word in refusal, refusal
    assert tree(world / "out") == before


@pytest.mark.parametrize("name", TOKENIZER_CASES)
def test_the_tokenizer_refuses(fresh: Path, name: str) -> None:
    refused("train_rqvae.py", TOKENIZER_CASES[name], fresh)


def damaged(pattern: str) -> Harm:
    """Flip a bit in the last byte of a payload file of the tokenizer."""

    def harm(world: Path) -> None:
        path = next((world / TOKENIZER).rglob(pattern))
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)

    return harm


def gone(pattern: str) -> Harm:
    return lambda world: next((world / TOKENIZER).rglob(pattern)).unlink()


def foreign_manifest(world: Path) -> None:
    (world / TOKENIZER / "manifest.json").write_text('{"model": "of another program"}')


def retrained_tokenizer(world: Path) -> None:
    before = payload(world / TOKENIZER)
    assert run("train_rqvae.py", KMEANS, folder=world).code == 0
    assert payload(world / TOKENIZER)["codes.npy"] != before["codes.npy"]


LEAF = "decoder.gin"
DECODER_CASES = {
    "no tokenizer": Case(
        (LEAF, "train.semantic_ids_path = 'none'"), ("no semantic_ids artifact in none", "train_rqvae.py")
    ),
    "foreign artifact": Case(
        (LEAF, f"train.semantic_ids_path = '{DECODER}'"), ("holds a generative_model", "semantic_ids is needed")
    ),
    "foreign manifest": Case((LEAF,), ("not a manifest of genrec", "run `"), foreign_manifest),
    "damaged ids": Case((LEAF,), ("damaged", "hash differs", "again"), damaged("codes-*.npy")),
    "missing ids": Case((LEAF,), ("is missing although", "again"), gone("codes-*.npy")),
    "damaged features": Case(
        (LEAF,), ("vectors", "hash differs", "again"), damaged("vectors-*.npy")
    ),
    "other catalogue": Case(
        (LEAF,),
        ("another catalogue", "train_rqvae.py rqvae.gin` again"),
        items(lambda i: i.assign(item_id=i.item_id + 1)),
    ),
    "other tokenizer": Case((LEAF,), ("another configuration or inputs", "--out"), retrained_tokenizer),
    "no posters": Case((LEAF, POSTERS), ("trained without posters", "same binding")),
    "negative iterations": Case((LEAF, "train.iterations = 0", "train.out = 'out/x'"), ("train.iterations",)),
    "negative batch": Case((LEAF, "train.batch_size = -1"), ("train.batch_size", "at least 1")),
    "small budget": Case((LEAF, "train.batch_tokens = 8"), ("train.batch_tokens (8)", "max_length")),
    "negative k": Case(
        (LEAF, "import genrec.evaluation.judge as judge", "judge.Judge.k = -3", "train.judge = @judge.Judge()"),
        ("Judge.k", "at least 1", "-3"),
    ),
    "heads": Case((LEAF, "train.attn_heads = 3"), ("heads", "16")),
    "damaged checkpoint": Case(
        (LEAF,),
        ("last.safetensors is damaged", "remove it"),
        lambda world: (world / DECODER / "checkpoints/last.safetensors").write_bytes(b"x" * 999),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DECODER_CASES)
def test_the_decoder_refuses(trained: Path, name: str) -> None:
    refused("train_decoder.py", DECODER_CASES[name], trained)
