"""Small catalogues whose structure is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from genrec.data.tables import ItemTable
from genrec.features.base import ItemFeatures


def make_items(n: int) -> ItemTable:
    """Items 10, 20, .. with one or two genres; every fifth has none."""
    names = ["Action", "Comedy", "Drama"]
    genres = [[] if i % 5 == 4 else sorted({names[i % 3], names[i % 2]}) for i in range(n)]
    frame = pd.DataFrame(
        {
            "item_id": np.arange(n) * 10 + 10,
            "title": [f"Title {i}, with comma" for i in range(n)],
            "year": pd.array([2000] * n, dtype="Int64"),
            "genres": genres,
            "text": [""] * n,
        }
    )
    return ItemTable(frame)


def make_features(vectors: Tensor) -> ItemFeatures:
    return ItemFeatures(
        vectors=vectors.numpy().astype(np.float32),
        present=np.ones(len(vectors), dtype=np.bool_),
        modality="text",
        encoder="test",
        parts=(("text", vectors.shape[1]),),
    )


def mixture(n: int, *, centres: int = 24, width: int = 12, apart: float = 3.0, seed: int = 0) -> Tensor:
    """Gaussian blobs of unit width around centres that lie about `apart` from each other [n, width]."""
    g = torch.Generator().manual_seed(seed)
    places = apart * torch.randn(centres, width, generator=g)
    return 5 + places[torch.randint(centres, (n,), generator=g)] + torch.randn(n, width, generator=g)
