"""Several modalities in one vector: side by side, or by a network that is trained with the tokenizer.

The networks read standardised features [B, D] whose columns are blocks of given widths, one per modality; a block
of zeros says that the item lacks the modality. For those, and for what modality dropout hides in training, they
have a learned vector or a mask, so that an item without a poster is not an item with a black one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemEncoder, ItemFeatures


class Concat:
    """Blocks side by side, each multiplied by its weight; an item is present if any block has it.

    Distances add up over columns, so the weights (and `Steps` inside) decide how much each modality counts.

    Args:
        encoders: at least one.
        weights: one positive number per encoder; None weighs all equally.
    """

    def __init__(self, encoders: Sequence[ItemEncoder], weights: Sequence[float] | None = None) -> None:
        if not encoders:
            raise ConfigError("Concat.encoders must name at least one encoder")
        weights = [1.0] * len(encoders) if weights is None else list(weights)
        if len(weights) != len(encoders) or not all(np.isfinite(w) and w > 0 for w in weights):
            raise ConfigError(
                f"Concat.weights must be {len(encoders)} positive numbers, one per encoder, got {weights}"
            )
        self.encoders = list(encoders)
        self.weights = weights

    def encode(self, items: ItemTable, train: Interactions) -> ItemFeatures:
        """Features [N, sum of the encoders' widths]."""
        blocks = [encoder.encode(items, train) for encoder in self.encoders]
        return concatenate(blocks, self.weights)


def concatenate(blocks: Sequence[ItemFeatures], weights: Sequence[float]) -> ItemFeatures:
    """Weighted blocks of the same N items side by side; `parts` lists every block's parts in order."""
    weighted = [block.vectors * np.float32(weight) for block, weight in zip(blocks, weights, strict=True)]
    described = [
        block.encoder if weight == 1.0 else f"{weight:g} * {block.encoder}"
        for block, weight in zip(blocks, weights, strict=True)
    ]
    modalities = [name for block in blocks for name in block.modality.split("+")]
    return ItemFeatures(
        vectors=np.concatenate(weighted, axis=1),
        present=np.any([block.present for block in blocks], axis=0),
        modality="+".join(dict.fromkeys(modalities)),
        encoder=f"Concat({', '.join(described)})",
        weights_hash="+".join(block.weights_hash for block in blocks if block.weights_hash),
        parts=tuple(part for block in blocks for part in block.parts),
    )


def present_blocks(x: Tensor, widths: Sequence[int]) -> Tensor:
    """Which modalities each row has: features [B, sum of M widths] -> bool [B, M]."""
    return torch.stack([(block != 0).any(dim=1) for block in torch.split(x, list(widths), dim=1)], dim=1)


class ModalityTokens(nn.Module):
    """One vector per modality: a projection of what is there, a learned vector for what is not.

    Args:
        widths: M widths of the blocks.
        width: D of the vectors.
        dropout: share of modalities hidden in training; every item keeps at least one that it has (Neverova et al.
            2016, "ModDrop").
    """

    def __init__(self, widths: Sequence[int], width: int, dropout: float) -> None:
        super().__init__()
        if not widths or width < 1:
            raise ConfigError(
                f"a fusion needs modalities and a positive width, got {tuple(widths)} and {width}"
            )
        if not 0 <= dropout < 1:
            raise ConfigError(f"modality_dropout of a fusion must be in [0, 1), got {dropout}")
        self.widths, self.dropout = list(widths), dropout
        projections = [nn.Linear(block, width) for block in widths]
        for layer in projections:
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)  # unit variance in, unit variance out
            nn.init.zeros_(layer.bias)
        self.project = nn.ModuleList(projections)
        self.missing = nn.Parameter(torch.randn(len(widths), width) * 0.02)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, sum of widths] -> (tokens [B, M, D], bool [B, M] which of them are there and not hidden)."""
        there = present_blocks(x, self.widths)
        if self.training and self.dropout > 0:
            there = there & ~self._hidden(there)
        blocks = zip(self.project, torch.split(x, self.widths, dim=1), strict=True)
        tokens = torch.stack([project(block) for project, block in blocks], dim=1)
        return torch.where(there[:, :, None], tokens, self.missing), there

    def _hidden(self, there: Tensor) -> Tensor:
        drawn = torch.rand(there.shape, device=there.device)
        kept = drawn.masked_fill(~there, -1.0).argmax(dim=1, keepdim=True)  # any one that is there
        return (drawn < self.dropout).scatter(1, kept, False)


class Fusion(nn.Module):
    """A network from features [B, sum of widths] to [B, width].

    Attributes:
        width: of the result.
    """

    width: int


class Mlp(Fusion):
    """The modalities' vectors side by side, through an MLP.

    Args:
        widths: of the blocks.
        width: of each modality's vector and of the result.
        hidden: of the hidden layer.
        modality_dropout: share of modalities hidden in training.
    """

    def __init__(
        self, widths: Sequence[int], *, width: int = 256, hidden: int = 512, modality_dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.width = width
        self.tokens = ModalityTokens(widths, width, modality_dropout)
        self.mlp = nn.Sequential(
            nn.Linear(len(widths) * width, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, sum of widths] -> [B, width]."""
        tokens, _ = self.tokens(x)
        return self.mlp(tokens.flatten(1))  # type: ignore[no-any-return]


class Gated(Fusion):
    """A weighted mean of the modalities' vectors, with weights that depend on all of them.

    Source: Arevalo et al. 2017, "Gated multimodal units for information fusion" (§3), with softmax gates.

    Args:
        widths: of the blocks.
        width: of each modality's vector and of the result.
        modality_dropout: share of modalities hidden in training.
    """

    def __init__(self, widths: Sequence[int], *, width: int = 256, modality_dropout: float = 0.1) -> None:
        super().__init__()
        self.width = width
        self.tokens = ModalityTokens(widths, width, modality_dropout)
        self.gate = nn.Linear(len(widths) * width, len(widths))

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, sum of widths] -> [B, width]."""
        tokens, there = self.tokens(x)
        nothing = ~there.any(dim=1, keepdim=True)  # such a row is the mean of the learned vectors
        gates = self.gate(tokens.flatten(1)).masked_fill(~(there | nothing), -torch.inf).softmax(dim=1)
        return (gates[:, :, None] * tokens.tanh()).sum(dim=1)  # type: ignore[no-any-return]


class Transformer(Fusion):
    """One token per modality and one that reads them; tokens of missing modalities are not attended to.

    Args:
        widths: of the blocks.
        width: of each token and of the result.
        heads: attention heads.
        layers: encoder layers.
        dropout: in the layers.
        modality_dropout: share of modalities hidden in training.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        width: int = 256,
        heads: int = 4,
        layers: int = 1,
        dropout: float = 0.0,
        modality_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads or layers < 1:
            raise ConfigError(
                f"Transformer.width must be a multiple of Transformer.heads and Transformer.layers at least 1, got "
                f"{width}, {heads} and {layers}"
            )
        self.width = width
        self.tokens = ModalityTokens(widths, width, modality_dropout)
        self.kind = nn.Parameter(torch.randn(len(widths), width) * 0.02)
        self.reader = nn.Parameter(torch.randn(width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, sum of widths] -> [B, width]."""
        tokens, there = self.tokens(x)
        reader = self.reader.expand(len(x), 1, -1)
        sequence = torch.cat([reader, tokens + self.kind], dim=1)
        unseen = torch.cat([there.new_zeros(len(x), 1), ~there], dim=1)
        return self.layers(sequence, src_key_padding_mask=unseen)[:, 0]  # type: ignore[no-any-return]
