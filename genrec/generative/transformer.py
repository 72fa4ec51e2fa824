"""A causal pre-LN transformer over histories, small enough to read in one sitting."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from genrec.errors import ConfigError
from genrec.generative.dropout import Dropout


class CausalAttention(nn.Module):
    """Multi-head self-attention in which a position sees itself and what came before.

    Histories are padded at the end, so causality alone keeps padding out of every real position and no
    mask is needed; weights are not dropped out. So the fused kernels of `scaled_dot_product_attention` apply.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """X [B, T, D] -> [B, T, D]."""
        q, k, v = rearrange(self.qkv(x), "b t (three h d) -> three b h t d", three=3, h=self.heads)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(rearrange(mixed, "b h t d -> b t (h d)"))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention and feed-forward, each normalised before and added after."""

    def __init__(self, width: int, heads: int, dropout: float, expansion: int = 4) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = CausalAttention(width, heads)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width)
        )
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """X [B, T, D] -> [B, T, D]."""
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        return x + self.dropout(self.feed(self.feed_norm(x)))  # type: ignore[no-any-return]


class HistoryEncoder(nn.Module):
    """A learned start vector, positions, and `layers` causal blocks.

    The start vector stands before the first item: its state is the answer for a user without a history.

    Args:
        width: D.
        heads: attention heads; must divide `width`.
        layers: number of blocks.
        max_length: T, longest history it reads.
        dropout: on embeddings and residual branches.
    """

    def __init__(self, width: int, heads: int, layers: int, max_length: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError(f"Timeline.width {width} must be a multiple of Timeline.heads {heads}")
        self.start = nn.Parameter(torch.randn(width) * 0.02)
        self.position = nn.Parameter(torch.randn(max_length + 1, width) * 0.02)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Item vectors [B, T, D], padded at the end -> states [B, T + 1, D]; state t has read t items."""
        x = torch.cat([self.start.expand(len(x), 1, -1), x], dim=1)
        x = self.dropout(x + self.position[: x.shape[1]])
        for block in self.blocks:
            x = block(x)
        return self.norm(x)  # type: ignore[no-any-return]
