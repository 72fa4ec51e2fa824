"""A small world of users and items in which the next item can be guessed, and small settings to train on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

N_USERS, N_ITEMS, N_GENRES = 60, 40, 4

COMMON = """
from __gin__ import dynamic_registration
import genrec.training.recipe as recipe
import genrec.training.runtime as runtime
train.dataset_folder = 'data'
train.runtime = @runtime.Runtime()
runtime.Runtime.threads = 1
runtime.Runtime.cpu = True
train.recipe = @recipe.Recipe()
recipe.Recipe.checkpoint_every = 7
recipe.Recipe.log_every = 5
"""

FILES = {
    "kmeans.gin": "include 'configs/rqvae_custom.gin'" + COMMON + "train.vae_codebook_size = 8\n",
    "rqvae.gin": "include 'configs/rqvae_custom.gin'\ninclude 'configs/model/rqvae.gin'"
    + COMMON
    + """
recipe.Recipe.validations = 4
rqvae.RqVae.hidden = (32,)
rqvae.RqVae.reset_every = 10
train.vae_embed_dim = 8
train.vae_codebook_size = 8
train.batch_size = 16
train.iterations = 40
""",
    "decoder.gin": "include 'configs/decoder_custom.gin'"
    + COMMON
    + """
recipe.Recipe.patience = None
timeline.Timeline.max_length = 16
train.decoder_embed_dim = 16
train.attn_embed_dim = 16
train.attn_layers = 1
train.batch_tokens = 128
train.iterations = 25
""",
}


def walks(seed: int = 0) -> pd.DataFrame:
    """Events (user, item, time): everybody walks the ring of items with small steps, at different paces."""
    rng = np.random.default_rng(seed)
    length = 12
    steps = rng.integers(1, 3, size=(N_USERS, length)).cumsum(axis=1)
    items = (rng.integers(N_ITEMS, size=(N_USERS, 1)) + steps) % N_ITEMS
    users = np.repeat(np.arange(N_USERS), length)
    return pd.DataFrame(
        {"user_id": users, "item_id": items.ravel(), "timestamp": np.tile(np.arange(length), N_USERS)}
    )


def catalogue() -> pd.DataFrame:
    """Items: neighbours on the ring share a genre and words."""
    number = np.arange(N_ITEMS)
    part = number * N_GENRES // N_ITEMS
    return pd.DataFrame(
        {
            "item_id": number,
            "title": [f"tale {i} of quarter{g} and tenth{i // 4}" for i, g in zip(number, part, strict=True)],
            "genres": [f"genre{g}" for g in part],
        }
    )


def make_world(folder: Path) -> Path:
    """The data and the gin files in a folder, which scripts then run in."""
    data = folder / "data"
    data.mkdir(parents=True)
    walks().to_csv(data / "interactions.csv", index=False)
    catalogue().to_csv(data / "items.csv", index=False)
    for name, text in FILES.items():
        (folder / name).write_text(text, "utf-8")
    return folder


def manifest(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
    return loaded


def payload(folder: Path) -> dict[str, str]:
    """File name -> hash of its bytes, as the manifest names them."""
    return {name: file["sha256"] for name, file in manifest(folder)["files"].items()}


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
