"""The MovieLens-25M route with its leaves as they are, on a small folder in the published format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scripts_in_child import ROOT, Outcome, Trouble, run
from tiny_world import manifest, walks
from tmdb_site import KEY, Plan, Reply, Site, details, picture, serving
from torchvision.models import resnet50

from genrec.data.load import load_dataset
from genrec.generative.store import load_model
from genrec.tokenizer.store import load_ids

GENRES = [*(f"Genre{letter}" for letter in "ABCDEFGHIJKLMNOPQRS"), "(no genres listed)"]
N_MOVIES = 300
LEAVES = {
    "configs/rqvae_ml25m.gin": {
        "vae_input_dim": 2068,
        "vae_embed_dim": 32,
        "vae_codebook_size": 256,
        "vae_n_layers": 3,
        "commitment_weight": 0.25,
        "batch_size": 64,
        "iterations": 400000,
        "learning_rate": 0.0005,
    },
    "configs/decoder_ml25m.gin": {
        "decoder_embed_dim": 128,
        "attn_embed_dim": 512,
        "attn_heads": 8,
        "attn_layers": 8,
        "batch_size": 256,
        "iterations": 200000,
        "learning_rate": 0.0003,
    },
}
POSTERS = "dataset/ml25m_poster_features.npy"


def publish(home: Path, n_movies: int) -> list[int]:
    """`dataset/ml-25m` in the published format; returns the movie ids, whose doubles are their TMDB ids."""
    folder = home / "dataset" / "ml-25m"
    folder.mkdir(parents=True)
    ids = [n * 3 + 1 for n in range(n_movies)]
    movies = [f'{i},"Film, No. {i} ({1950 + i % 70})",{GENRES[n % 20]}' for n, i in enumerate(ids)]
    links = [f"{i},{i:07d},{i * 2}" for i in ids]
    ratings = [
        f"{user + 1},{ids[item * 2]},{3 + item % 3 / 2},{1_000_000_000 + time}"
        for user, item, time in walks().itertuples(index=False)
    ]
    for name, header, lines in (
        ("movies", "movieId,title,genres", movies),
        ("links", "movieId,imdbId,tmdbId", links),
        ("ratings", "userId,movieId,rating,timestamp", ratings),
    ):
        (folder / f"{name}.csv").write_text("\n".join([header, *lines]) + "\n", "utf-8")
    return ids


@pytest.fixture
def ml25m(tmp_path: Path) -> Path:
    """The release and poster features of another program, three of which are missing."""
    publish(tmp_path, N_MOVIES)
    posters = np.random.default_rng(0).normal(size=(N_MOVIES, 2048)).astype(np.float32)
    posters[:3] = 0.0
    np.save(tmp_path / POSTERS, posters)
    return tmp_path


def five_commands(home: Path, site: Site) -> list[Outcome]:
    """As in the README, with a TMDB of our own, weights of our own, and few steps."""
    key: dict[str, str | None] = {"TMDB_API_KEY": KEY, "TMDB_ACCESS_TOKEN": None}
    commands = (
        ("experiments/download_posters.py", *site.bindings),
        ("experiments/poster_features.py", "extract.weights = 'resnet50.safetensors'"),
        ("experiments/ml25m.py",),
        ("train_rqvae.py", "configs/rqvae_ml25m.gin", "train.iterations = 12"),
        ("train_decoder.py", "configs/decoder_ml25m.gin", "train.iterations = 1"),
    )
    return [run(*line, folder=home, trouble=Trouble(environment=key)) for line in commands]


def test_the_five_commands(tmp_path: Path) -> None:
    ids = publish(tmp_path, n_movies := 90)
    some = ids[: (n_posters := 30)]
    torch.manual_seed(0)
    save_file(resnet50().state_dict(), tmp_path / "resnet50.safetensors")
    plans = {i * 2: Plan([details(i * 2)], [Reply(picture(i))]) for i in some}
    plans[some[3] * 2] = Plan([details(some[3] * 2, poster=False)])
    with serving(plans) as site:
        posters, features, check, tokenizer, decoder = five_commands(tmp_path, site)
    assert posters.code == 1, "some movies have no poster"
    for outcome in (features, check, tokenizer, decoder):
        assert outcome.code == 0, outcome.err
    assert f"{n_posters - 1} of {n_movies} items have 2048 columns from resnet50" in features.out
    assert (
        f"posters: {n_posters - 1} of {n_movies} items; python experiments/download_posters.py" in check.out
    )
    assert "2068 columns (20 metadata + 2048 image); train.vae_input_dim must be 2068" in check.out
    data = load_dataset("ml25m", tmp_path / "dataset/ml-25m")
    stored = load_ids(tmp_path / "out/ml25m/tokenizer", data.items)
    assert stored.features.parts == (("metadata", 20), ("image", 2048))
    image = stored.features.vectors[:, 20:]
    expected = np.arange(n_movies) < n_posters
    expected[3] = False
    np.testing.assert_array_equal(image.any(axis=1), expected)
    assert len(np.unique(image[expected], axis=0)) == n_posters - 1
    load_model(tmp_path / "out/ml25m/decoder", stored)


def test_the_check_says_what_is_missing_and_what_does_not_fit(tmp_path: Path) -> None:
    publish(tmp_path, N_MOVIES)
    outcome = run("experiments/ml25m.py", folder=tmp_path)
    assert outcome.code == 1, outcome.err
    assert "ml25m: 720 ratings, 60 users, 300 items" in outcome.out
    assert f"posters: 0 of {N_MOVIES} items; python experiments/download_posters.py" in outcome.out
    assert f"{POSTERS} does not exist; python experiments/poster_features.py makes it" in outcome.out
    np.save(tmp_path / POSTERS, np.ones((N_MOVIES, 768), dtype=np.float32))
    refusal = run("experiments/ml25m.py", folder=tmp_path).refusal
    assert "788 columns (20 metadata + 768 image)" in refusal
    np.save(tmp_path / POSTERS, np.ones((N_MOVIES - 1, 2048), dtype=np.float32))
    assert "have 299 rows but the catalogue has 300" in run("experiments/ml25m.py", folder=tmp_path).refusal


def test_both_leaves_run_as_they_are(ml25m: Path) -> None:
    outcome = run("train_rqvae.py", "configs/rqvae_ml25m.gin", "train.iterations = 12", folder=ml25m)
    assert outcome.code == 0, outcome.err
    outcome = run("train_decoder.py", "configs/decoder_ml25m.gin", "train.iterations = 1", folder=ml25m)
    assert outcome.code == 0, outcome.err
    data = load_dataset("ml25m", ml25m / "dataset/ml-25m")
    stored = load_ids(ml25m / "out/ml25m/tokenizer", data.items)
    assert stored.features.parts == (("metadata", 20), ("image", 2048))
    assert stored.ids.sizes == (256, 256, 256)
    model = load_model(ml25m / "out/ml25m/decoder", stored)
    assert {name: model.settings[name] for name in ("embed_dim", "width", "heads", "layers")} == {
        "embed_dim": 128,
        "width": 512,
        "heads": 8,
        "layers": 8,
    }
    assert manifest(ml25m / "out/ml25m/decoder")["inputs"]["semantic_ids"]["hash"] == stored.identity


def test_features_of_another_width_are_refused_by_modality(ml25m: Path) -> None:
    np.save(ml25m / POSTERS, np.ones((N_MOVIES, 512), dtype=np.float32))
    refusal = run("train_rqvae.py", "configs/rqvae_ml25m.gin", folder=ml25m).refusal
    assert "train.vae_input_dim is 2068" in refusal
    assert "532 columns (20 metadata + 512 image)" in refusal


@pytest.mark.parametrize("leaf", LEAVES)
def test_the_leaves_carry_the_published_values(leaf: str) -> None:
    text = (ROOT / leaf).read_text("utf-8")
    bound = dict(line.split(" = ") for line in text.splitlines() if line.startswith("train."))
    expected = {f"train.{name}": repr(value) for name, value in LEAVES[leaf].items()}
    expected["train.poster_feature_path"] = repr(POSTERS)
    expected |= {"train.dataset": "%DATASET", "train.dataset_folder": "%DATASET_FOLDER"}
    assert bound == expected
    data = (ROOT / "configs/data/ml25m.gin").read_text("utf-8")
    assert "\nDATASET = 'ml25m'\n" in data
    assert "\nDATASET_FOLDER = 'dataset/ml-25m'\n" in data
