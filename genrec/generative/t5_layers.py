"""The layers of T5 (Raffel et al. 2020, §2.1), for whole sequences and for one more position of many beams.

Their marks: normalisation by root mean square, no biases, attention that is not scaled but biased by the
relative position.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.generative.dropout import Dropout
from genrec.generative.linear import Linear, linear

BUCKETS, MAX_DISTANCE = 32, 128  # of relative positions


class RmsNorm(nn.Module):
    """`x / sqrt(mean(x^2) + 1e-6) * weight` over the last dimension."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """X [..., D] -> [..., D]."""
        return F.rms_norm(x, self.weight.shape, self.weight, 1e-6)


class RelativeBias(nn.Module):
    """A number per head and distance that attention adds to its scores; far distances share logarithmic buckets.

    Args:
        heads: H.
        width: D, of the model; sets the scale at the start.
        causal: only keys at or before the query are seen, and all buckets are for the past.
    """

    def __init__(self, heads: int, width: int, *, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.table = nn.Embedding(BUCKETS, heads)
        nn.init.normal_(self.table.weight, std=width**-0.5)

    def forward(self, queries: int, keys: int) -> Tensor:
        """Bias [1, H, queries, keys] of the last `queries` of `keys` positions; -inf where not seen."""
        place = torch.arange(keys, device=self.table.weight.device)
        offset = place - place[keys - queries :, None]  # of the key, from the query
        bias: Tensor = self.table(self._bucket(offset)).permute(2, 0, 1)
        return (bias.masked_fill(offset > 0, -torch.inf) if self.causal else bias)[None]

    def _bucket(self, offset: Tensor) -> Tensor:
        """Bucket of each offset: exact up to half of the buckets of a direction, then logarithmic."""
        buckets = BUCKETS if self.causal else BUCKETS // 2
        distance = -offset.clamp_max(0) if self.causal else offset.abs()
        exact = buckets // 2
        scale = (buckets - exact) / math.log(MAX_DISTANCE / exact)
        far = exact + ((distance.clamp_min(1).float() / exact).log() * scale).long()
        bucket = torch.where(distance < exact, distance, far.clamp_max(buckets - 1))
        return bucket if self.causal else bucket + buckets * (offset > 0)


@dataclass(frozen=True)
class Past:
    """Keys and values [B, W, P, H, d] of the P tokens of each beam, for one layer."""

    keys: Tensor
    values: Tensor

    def of_beams(self, beams: Tensor) -> Past:
        """That of beams int64 [B, W'], in any order and repeatedly."""
        row = torch.arange(len(beams), device=beams.device)[:, None]
        return Past(self.keys[row, beams], self.values[row, beams])

    def of_requests(self, rows: Tensor | slice) -> Past:
        """That of requests, a range or int64 [R] in any order and repeatedly."""
        return Past(self.keys[rows], self.values[rows])

    @classmethod
    def joined(cls, parts: Sequence[Past]) -> Past:
        """That of the requests of several parts, one part after the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(torch.cat([part.keys for part in parts]), torch.cat([part.values for part in parts]))


class SelfAttention(nn.Module):
    """Attention among the positions of a sequence.

    Args:
        width: D.
        heads: H.
        head_width: d, of a query, a key, a value.
    """

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_width
        self.qkv = Linear(width, 3 * inner)
        self.out = Linear(inner, width)
        nn.init.normal_(self.qkv.weight, std=width**-0.5)
        nn.init.normal_(self.qkv.weight[:inner], std=(width * head_width) ** -0.5)  # in place of a scale
        nn.init.normal_(self.out.weight, std=inner**-0.5)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """X [..., D] -> queries, keys, values [..., H, d]."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        return q, k, v

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """X [B, T, D], bias [B or 1, H, T, T] -> [B, T, D]."""
        q, k, v = (part.transpose(1, 2) for part in self.project(x))  # [B, H, T, d]
        if bias.requires_grad:  # there is no fused kernel that learns a bias
            mixed = (q @ k.mT).add_(bias).softmax(-1) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        return self.out(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def step(self, x: Tensor, past: Past, bias: Tensor) -> tuple[Tensor, Past]:
        """One more position of each beam: x [B, W, D], bias [1, H, 1, P + 1] -> [B, W, D] and the longer past."""
        q, k, v = self.project(x)
        past = Past(torch.cat([past.keys, k[:, :, None]], 2), torch.cat([past.values, v[:, :, None]], 2))
        score = (q[:, :, None] * past.keys).sum(-1) + bias[:, :, 0].transpose(1, 2)  # [B, W, P + 1, H]
        mixed = (score.softmax(2)[..., None] * past.values).sum(2)  # [B, W, H, d]
        return self.out(mixed.flatten(2)), past


@dataclass(frozen=True)
class Memory:
    """What the decoder attends to of the encoder's output: keys and values [B, H, S, d] of each layer.

    Attributes:
        keys: per layer.
        values: per layer.
        real: bool [B, 1, 1, S], what is not padding; None for all.
    """

    keys: Sequence[Tensor]
    values: Sequence[Tensor]
    real: Tensor | None

    def layer(self, number: int, rows: Tensor | slice) -> tuple[Tensor, Tensor, Tensor | None]:
        """Keys, values and `real` of a layer for requests, a range or int64 [R] in any order and repeatedly."""
        real = None if self.real is None else self.real[rows]
        return self.keys[number][rows], self.values[number][rows], real


class CrossAttention(nn.Module):
    """Attention of the decoder over the encoder's output, the memory.

    Training has one or a few queries per memory, and then it is cheaper to move the queries into the memory's
    space than every memory into that of keys and values: a score is `(W_q x) . (W_k m) = (W_k^T W_q x) . m`, and
    a mix of `W_v m` is `W_v` of the mix of `m`. Search has many queries, the beams of all levels, and computes keys
    and values once per request.
    """

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_width
        self.query = Linear(width, inner)
        self.key = nn.Parameter(torch.randn(inner, width) * width**-0.5)
        self.value = nn.Parameter(torch.randn(inner, width) * width**-0.5)
        self.out = Linear(inner, width)
        nn.init.normal_(self.query.weight, std=(width * head_width) ** -0.5)
        nn.init.normal_(self.out.weight, std=inner**-0.5)

    def forward(self, x: Tensor, memory: Tensor, real: Tensor | None) -> Tensor:
        """Few queries x [B, Q, D], memory [B, S, D], real bool [B, 1, 1, S] or None for all -> [B, Q, D]."""
        B, Q, D = x.shape
        key, value = (w.view(self.heads, -1, D) for w in (self.key, self.value))  # [H, d, D]
        q = self.query(x).view(B * Q, self.heads, -1).transpose(0, 1)  # [H, B Q, d]
        moved = (q @ key).view(-1, B, Q, D).transpose(0, 1).reshape(B, 1, -1, D)  # [B, 1, H Q, D]
        memory = memory[:, None]
        mixed = F.scaled_dot_product_attention(moved, memory, memory, attn_mask=real, scale=1.0)
        mixed = mixed.view(B, -1, Q, D).transpose(0, 1).reshape(-1, B * Q, D)  # [H, B Q, D]
        return self.out((mixed @ value.mT).transpose(0, 1).reshape(B, Q, -1))  # type: ignore[no-any-return]

    def project(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [B, H, S, d] of a memory [B, S, D]."""
        key, value = (
            linear(memory, w).view(*memory.shape[:2], self.heads, -1).transpose(1, 2)
            for w in (self.key, self.value)
        )
        return key, value

    def attend(self, x: Tensor, keys: Tensor, values: Tensor, real: Tensor | None) -> Tensor:
        """Many queries x [R, W, D] -> [R, W, D]; the same as `forward`."""
        q = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [R, H, W, d]
        mixed = F.scaled_dot_product_attention(q, keys, values, attn_mask=real, scale=1.0)
        return self.out(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Two layers with ReLU, or with a gated GELU as in T5 1.1 (Shazeer 2020)."""

    def __init__(self, width: int, hidden: int, dropout: float, *, gated: bool) -> None:
        super().__init__()
        self.gated = gated
        self.lift = Linear(width, 2 * hidden if gated else hidden)
        self.drop = Linear(hidden, width)
        self.dropout = Dropout(dropout)
        nn.init.normal_(self.lift.weight, std=width**-0.5)
        nn.init.normal_(self.drop.weight, std=hidden**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """X [..., D] -> [..., D]."""
        h = self.lift(x)
        if self.gated:
            gate, h = h.chunk(2, -1)
            h = F.gelu(gate, approximate="tanh") * h
        else:
            h = h.relu()
        return self.drop(self.dropout(h))  # type: ignore[no-any-return]


class Layer(nn.Module):
    """Of the encoder: self-attention and feed-forward, each normalised before and added after.

    Args:
        width: D.
        heads: H.
        head_width: d.
        feed: hidden width of the feed-forward part.
        dropout: on the residual branches and the hidden layer.
        gated: see `FeedForward`.
    """

    def __init__(
        self, width: int, heads: int, head_width: int, feed: int, dropout: float, *, gated: bool
    ) -> None:
        super().__init__()
        self.attention_norm = RmsNorm(width)
        self.attention = SelfAttention(width, heads, head_width)
        self.feed_norm = RmsNorm(width)
        self.feed = FeedForward(width, feed, dropout, gated=gated)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """X [B, S, D] -> [B, S, D]."""
        x = x + self.dropout(self.attention(self.attention_norm(x), bias))
        return x + self.dropout(self.feed(self.feed_norm(x)))  # type: ignore[no-any-return]


class DecoderLayer(Layer):
    """With cross-attention between the two."""

    def __init__(
        self, width: int, heads: int, head_width: int, feed: int, dropout: float, *, gated: bool
    ) -> None:
        super().__init__(width, heads, head_width, feed, dropout, gated=gated)
        self.cross_norm = RmsNorm(width)
        self.cross = CrossAttention(width, heads, head_width)

    def decode(self, x: Tensor, bias: Tensor, memory: Tensor, real: Tensor | None) -> Tensor:
        """All positions at once: x [B, Q, D] -> [B, Q, D]."""
        x = x + self.dropout(self.attention(self.attention_norm(x), bias))
        x = x + self.dropout(self.cross(self.cross_norm(x), memory, real))
        return x + self.dropout(self.feed(self.feed_norm(x)))  # type: ignore[no-any-return]

    def step(
        self, x: Tensor, past: Past, bias: Tensor, keys: Tensor, values: Tensor, real: Tensor | None
    ) -> tuple[Tensor, Past]:
        """One more position of each beam: x [R, W, D] -> [R, W, D] and the longer past; without dropout."""
        mixed, past = self.attention.step(self.attention_norm(x), past, bias)
        x = x + mixed
        x = x + self.cross.attend(self.cross_norm(x), keys, values, real)
        return x + self.feed(self.feed_norm(x)), past
