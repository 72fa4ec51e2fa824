"""How a transformer over histories knows where, and when, an item stands.

A scheme adds vectors to the input, turns queries and keys, or adds a bias to the logits of attention; time
intervals are a bias too, and go with any scheme. Position 0 is the start vector, which stands before the first item.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrec.errors import ConfigError

BASE = 10_000.0  # of rotary frequencies, as in the paper
PER_OCTAVE = 2  # time buckets for every doubling of an interval
BUCKETS = 64  # 2^32 seconds, 136 years, at two per doubling


class Positions(nn.Module):
    """A scheme that leaves everything as it is; the schemes override what they change.

    Args:
        width: D.
        heads: H; divides `width`.
        max_length: longest history; only absolute positions are bound to it.
    """

    def __init__(self, width: int, heads: int, max_length: int) -> None:
        super().__init__()
        self.width, self.heads, self.max_length = width, heads, max_length

    def embed(self, x: Tensor) -> Tensor:
        """What the first block reads: [B, S, D] -> [B, S, D]."""
        return x

    def turn(self, x: Tensor) -> Rotation | None:
        """The turn of queries and keys for input [B, S, D], or None."""
        return None

    def bias(self, x: Tensor) -> Tensor | None:
        """What is added to the logits of attention for input [B, S, D]: [H, S, S] of query and key, or None."""
        return None


class Absolute(Positions):
    """A learned vector per position, added to the input (SASRec: Kang & McAuley 2018, §III-A)."""

    def __init__(self, width: int, heads: int, max_length: int) -> None:
        super().__init__(width, heads, max_length)
        self.table = nn.Parameter(torch.randn(max_length + 1, width) * 0.02)

    def embed(self, x: Tensor) -> Tensor:
        """Add the vectors: [B, S, D] -> [B, S, D]."""
        return x + self.table[: x.shape[1]]


class Rotary(Positions):
    """Turns each pair of a query's or key's elements by an angle that grows with the position.

    Logits then depend on how far two items are apart, not on where they stand (RoFormer: Su et al. 2021, §3.2).
    """

    def __init__(self, width: int, heads: int, max_length: int) -> None:
        super().__init__(width, heads, max_length)
        if width // heads % 2:
            raise ConfigError(
                f"Timeline.positions = 'rotary' turns pairs of elements, so Timeline.width {width} divided by "
                f"Timeline.heads {heads} must be even"
            )

    def turn(self, x: Tensor) -> Rotation:
        """The turn by position for input [B, S, D]."""
        pairs = self.width // self.heads // 2
        precise = torch.promote_types(x.dtype, torch.float32)  # half precision cannot tell positions apart
        exponent = torch.arange(pairs, device=x.device, dtype=precise) / pairs
        place = torch.arange(x.shape[1], device=x.device, dtype=precise)
        angle = place[:, None] * BASE**-exponent  # [S, d / 2]
        return Rotation(angle.cos().to(x.dtype), angle.sin().to(x.dtype))


class Rotation:
    """Turns the pairs (x_i, x_{i + d/2}) of vectors.

    Args:
        cos: [S, d / 2], of the angle of each position and pair.
        sin: [S, d / 2].
    """

    def __init__(self, cos: Tensor, sin: Tensor) -> None:
        self.cos, self.sin = cos, sin

    def __call__(self, x: Tensor) -> Tensor:
        """Vectors [..., S, d] -> [..., S, d]."""
        left, right = x.chunk(2, dim=-1)
        turned = (left * self.cos - right * self.sin, left * self.sin + right * self.cos)
        return torch.cat(turned, dim=-1)


class Alibi(Positions):
    """Takes a slope times the distance from the logits, steeper in some heads than in others.

    The slopes are a geometric sequence down to 2^-8 (ALiBi: Press et al. 2022, §3); nothing is learned.
    """

    def bias(self, x: Tensor) -> Tensor:
        """Minus slope times distance for input [B, S, D]: [H, S, S]."""
        slope = 2.0 ** (-8.0 / self.heads * torch.arange(1, self.heads + 1, device=x.device, dtype=x.dtype))
        place = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)
        return slope[:, None, None] * (place - place[:, None])


POSITIONS: dict[str, type[Positions]] = {"absolute": Absolute, "rotary": Rotary, "alibi": Alibi}


class TimeIntervals(nn.Module):
    """A learned bias per head and bucket of the time between two events.

    Intervals as such are the idea of TiSASRec (Li et al. 2020, §3); a bias by the logarithm of their length is
    that of HSTU (Zhai et al. 2024, §3). The state after an item knows its time and those before, never the time of
    what comes next. The start vector has no time: what looks at it meets a bias of its own. All start at 0.

    Args:
        heads: H.
    """

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(heads, BUCKETS + 1))  # the last column is for the start vector

    def forward(self, times: Tensor) -> Tensor:
        """Times of events int64 [B, T] in seconds, ascending -> bias [B, H, T + 1, T + 1] of query and key.

        Only what a query may look at, itself and what came before, is meant.
        """
        interval = (times[:, :, None] - times[:, None, :]).clamp_min_(0)
        bucket = ((1 + interval).float().log2_() * PER_OCTAVE).long().clamp_max_(BUCKETS - 1)  # [B, T, T]
        bucket = nn.functional.pad(bucket, (1, 0, 1, 0), value=BUCKETS)  # query and key of the start vector
        # with rows per head and 64-bit buckets the gradient costs a tenth of that of an embedding
        return self.table.index_select(1, bucket.flatten()).view(-1, *bucket.shape).transpose(0, 1)
