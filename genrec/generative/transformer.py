"""A causal pre-LN transformer over histories, small enough to read in one sitting."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from genrec.errors import ConfigError
from genrec.generative.dropout import Dropout
from genrec.generative.linear import Linear
from genrec.generative.positions import POSITIONS, Rotation, TimeIntervals


class CausalAttention(nn.Module):
    """Multi-head self-attention in which a position sees itself and what came before.

    Histories are padded at the end, so causality alone keeps padding out of every real position and no
    mask is needed but for biases; weights are not dropped out. So the fused kernels of
    `scaled_dot_product_attention` apply.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(width, 3 * width, bias=True)
        self.out = Linear(width, width, bias=True)

    def forward(self, x: Tensor, turn: Rotation | None = None, bias: Tensor | None = None) -> Tensor:
        """X [B, T, D] -> [B, T, D].

        Args:
            x: [B, T, D].
            turn: of queries and keys by position.
            bias: [1 or B, H, T, T], added to the logits of query and key; -inf where the key comes after the query.
        """
        qkv = rearrange(self.qkv(x), "b t (three h d) -> three b h t d", three=3, h=self.heads)
        q, k = qkv[:2] if turn is None else turn(qkv[:2])
        mixed = F.scaled_dot_product_attention(q, k, qkv[2], attn_mask=bias, is_causal=bias is None)
        return self.out(rearrange(mixed, "b h t d -> b t (h d)"))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention and feed-forward, each normalised before and added after."""

    def __init__(self, width: int, heads: int, dropout: float, expansion: int = 4) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = CausalAttention(width, heads)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            Linear(width, expansion * width, bias=True),
            nn.GELU(),
            Linear(expansion * width, width, bias=True),
        )
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, turn: Rotation | None = None, bias: Tensor | None = None) -> Tensor:
        """X [B, T, D] -> [B, T, D], with what `CausalAttention` takes."""
        x = x + self.dropout(self.attention(self.attention_norm(x), turn, bias))
        return x + self.dropout(self.feed(self.feed_norm(x)))  # type: ignore[no-any-return]


class HistoryEncoder(nn.Module):
    """A learned start vector, positions, and `layers` causal blocks.

    The start vector stands before the first item: its state is the answer for a user without a history.

    Args:
        width: D.
        heads: attention heads; must divide `width`.
        layers: number of blocks.
        max_length: T, longest history it reads; only absolute positions are bound to it.
        dropout: on embeddings and residual branches.
        positions: one of `POSITIONS`: absolute, rotary or alibi.
        time_intervals: add a bias by the time between events to the logits of attention.

    Raises:
        ConfigError: a name is unknown, or `heads` does not divide as it must.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        layers: int,
        max_length: int,
        dropout: float,
        positions: str = "absolute",
        time_intervals: bool = False,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError(f"Timeline.width {width} must be a multiple of Timeline.heads {heads}")
        if positions not in POSITIONS:
            raise ConfigError(f"Timeline.positions must be one of {', '.join(POSITIONS)}, got {positions!r}")
        self.start = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = POSITIONS[positions](width, heads, max_length)
        self.intervals = TimeIntervals(heads) if time_intervals else None
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, times: Tensor | None = None) -> Tensor:
        """Item vectors, padded at the end -> states [B, T + 1, D]; state t has read t items, and their times.

        Args:
            x: [B, T, D].
            times: int64 [B, T] seconds, used with `time_intervals`.

        Raises:
            ConfigError: `time_intervals` without times.
        """
        x = torch.cat([self.start.expand(len(x), 1, -1), x], dim=1)
        turn, bias = self.positions.turn(x), self._bias(x, times)
        x = self.dropout(self.positions.embed(x))
        for block in self.blocks:
            x = block(x, turn, bias)
        return self.norm(x)  # type: ignore[no-any-return]

    def _bias(self, x: Tensor, times: Tensor | None) -> Tensor | None:
        """Biases of attention to input [B, S, D], once for all blocks: [1 or B, H, S, S], None for causality alone."""
        bias = self.positions.bias(x)
        if self.intervals is not None:
            if times is None:
                raise ConfigError(
                    "Timeline.time_intervals = True needs a timestamp for every event, and this dataset has none; "
                    "set it to False"
                )
            by_time = self.intervals(times)
            bias = by_time if bias is None else bias + by_time
        if bias is None:
            return None
        after = bias.new_full(bias.shape[-2:], -torch.inf).triu(1)  # masked_fill would mask the gradient too
        return (bias + after).view(-1, *bias.shape[-3:])
