"""Item vectors for the model's input: semantic ids, item ids and content, each where asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from genrec.errors import ConfigError
from genrec.generative.linear import Linear

CODES, IDS, FEATURES = "codes", "ids", "features"


class ItemEmbedding(nn.Module):
    """Sum of what is known of an item.

    Args:
        codes: int64 [N, L], fixed.
        sizes: codebook sizes.
        dim: E, width of the embeddings.
        inputs: `codes` (an embedding per code), `ids` (a free embedding per item, which memorises what codes
            cannot say), `features` (a projection of all content vectors), or the names of some modalities.
        features: for each modality, standardised content vectors float32 [N, F], fixed.

    Raises:
        ConfigError: nothing to add up, or a modality that there is not.
    """

    offset_codes: Tensor
    features: Tensor | None

    def __init__(
        self,
        codes: Tensor,
        sizes: Sequence[int],
        dim: int,
        *,
        inputs: Sequence[str],
        features: Mapping[str, Tensor],
    ) -> None:
        super().__init__()
        content = _chosen(inputs, features)
        offsets = torch.tensor([0, *sizes[:-1]]).cumsum(0)
        self.register_buffer("offset_codes", codes + offsets, persistent=False)  # one table for all levels
        self.codes = nn.EmbeddingBag(sum(sizes), dim, mode="sum") if CODES in inputs else None
        self.ids = nn.Embedding(len(codes), dim) if IDS in inputs else None
        self.register_buffer("features", content, persistent=False)
        self.project = None if content is None else Linear(content.shape[1], dim, bias=True)
        for table in (self.codes, self.ids):
            if table is not None:
                nn.init.normal_(table.weight, std=0.02)

    def forward(self, items: Tensor) -> Tensor:
        """Items int64 [...] -> vectors [..., E]."""
        flat = items.reshape(-1)
        parts = []
        if self.codes is not None:
            parts.append(self.codes(self.offset_codes[flat]))
        if self.ids is not None:
            parts.append(self.ids(flat))
        if self.project is not None and self.features is not None:
            parts.append(self.project(self.features[flat]))
        vectors: Tensor = sum(parts[1:], parts[0])
        return vectors.view(*items.shape, vectors.shape[-1])


def _chosen(inputs: Sequence[str], features: Mapping[str, Tensor]) -> Tensor | None:
    """The content vectors asked for, side by side."""
    known = [CODES, IDS, FEATURES, *features]
    wrong = [name for name in inputs if name not in known]
    if isinstance(inputs, str) or not inputs or wrong:
        raise ConfigError(f"Timeline.inputs must name some of {', '.join(known)}, got {inputs!r}")
    chosen = [vectors for name, vectors in features.items() if name in inputs or FEATURES in inputs]
    if not chosen and not {CODES, IDS} & set(inputs):
        raise ConfigError(f"Timeline.inputs is {inputs!r}, but these semantic ids were made without features")
    return torch.cat(chosen, 1) if chosen else None
