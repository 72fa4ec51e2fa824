"""Item vectors for the model's input: codes, and optionally item ids and content features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ItemEmbedding(nn.Module):
    """Sum of an item's code embeddings, plus an id embedding and projected features where asked for.

    Args:
        codes: int64 [N, L], fixed.
        sizes: codebook sizes.
        dim: width of the embeddings.
        use_ids: add one free embedding per item; it memorises what codes cannot say.
        features: float32 [N, F] or None; standardised content vectors, fixed.
    """

    offset_codes: Tensor
    features: Tensor | None

    def __init__(
        self, codes: Tensor, sizes: Sequence[int], dim: int, *, use_ids: bool, features: Tensor | None
    ) -> None:
        super().__init__()
        offsets = torch.tensor([0, *sizes[:-1]]).cumsum(0)
        self.register_buffer("offset_codes", codes + offsets, persistent=False)  # one table for all levels
        self.codes = nn.EmbeddingBag(sum(sizes), dim, mode="sum")
        self.ids = nn.Embedding(len(codes), dim) if use_ids else None
        self.register_buffer("features", features, persistent=False)
        self.project = nn.Linear(features.shape[1], dim) if features is not None else None
        for table in (self.codes, self.ids):
            if table is not None:
                nn.init.normal_(table.weight, std=0.02)

    def forward(self, items: Tensor) -> Tensor:
        """Items int64 [...] -> vectors [..., dim]."""
        flat = items.reshape(-1)
        vectors = self.codes(self.offset_codes[flat])
        if self.ids is not None:
            vectors = vectors + self.ids(flat)
        if self.project is not None and self.features is not None:
            vectors = vectors + self.project(self.features[flat])
        return vectors.view(*items.shape, vectors.shape[-1])  # type: ignore[no-any-return]
