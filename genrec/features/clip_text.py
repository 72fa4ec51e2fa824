"""Texts as CLIP reads them (Radford et al., 2021): in the same space as its image features of posters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genrec.artifacts import atomic_path
from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError, DataError
from genrec.features.base import ItemFeatures
from genrec.features.columns import check_fields, digest, documents
from genrec.features.images.clip import import_open_clip, load_clip
from genrec.features.images.weights import DEFAULT, state_hash


class ClipText:
    """Text features of titles and overviews, L2-normalised; CLIP reads the first 77 tokens (about 50 words).

    Args:
        model: a network that open_clip has the configuration of, such as `ViT-B-32`.
        weights: `default`, a pretrained tag of open_clip such as `openai`, a local file, or `none`.
        fields: which columns of the item table are read.
        batch_size: texts at once.
        cache: folder that keeps computed vectors by the hash of texts and weights; None keeps none.
    """

    def __init__(
        self,
        model: str = "ViT-B-32",
        weights: str = DEFAULT,
        fields: Sequence[str] = ("title", "text"),
        batch_size: int = 64,
        cache: str | None = None,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"ClipText.batch_size must be at least 1, got {batch_size}")
        self.model = model
        self.weights = weights
        self.fields = check_fields(self, fields)
        self.batch_size = batch_size
        self.cache = None if cache is None else Path(cache)

    def encode(self, items: ItemTable, train: Interactions) -> ItemFeatures:
        """Features [N, D], D = 512 for ViT-B-32; items without any text are absent.

        Raises:
            ConfigError: the `image` extra is missing, or a name is unknown.
            DataError: the weights cannot be had, or are another network's.
        """
        texts = documents(items, self.fields)
        present = np.array([bool(text) for text in texts])
        if not present.any():
            raise DataError(
                f"items: columns {list(self.fields)} hold no text for ClipText; fill them or configure another encoder"
            )
        clip, source = load_clip(self.model, self.weights)
        weights_hash = state_hash(clip)
        known = [text for text in texts if text]
        vectors = self._cached(clip, digest([weights_hash, *known]), known)
        whole = np.zeros((len(items), vectors.shape[1]), dtype=np.float32)
        whole[present] = vectors
        settings = f"model={self.model}, weights={source}, fields={list(self.fields)}"
        return ItemFeatures(whole, present, "text", f"ClipText({settings})", weights_hash)

    def _cached(self, clip: Any, key: str, texts: list[str]) -> NDArray[np.float32]:
        tokenize = import_open_clip(self.model).get_tokenizer(self.model)
        if self.cache is None:
            return embed_texts(clip, tokenize, texts, self.batch_size)
        path = self.cache / f"clip-{key[:24]}.npy"
        if path.exists():
            return np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)
        vectors = embed_texts(clip, tokenize, texts, self.batch_size)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, vectors)
        return vectors


@torch.inference_mode()
def embed_texts(clip: Any, tokenize: Any, texts: list[str], batch_size: int) -> NDArray[np.float32]:
    """Unit vectors float32 [len(texts), D]."""
    batches = [texts[at : at + batch_size] for at in range(0, len(texts), batch_size)]
    vectors = [clip.encode_text(tokenize(batch), normalize=True).float() for batch in batches]
    return np.asarray(torch.cat(vectors).numpy())
