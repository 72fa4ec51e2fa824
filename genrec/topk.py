"""Top-k with a declared tie rule.

`torch.topk` leaves the order of equal scores undefined. Here equal scores go to the column with the smaller
`rank`, so results are deterministic, and with a shuffled rank a model that gives every item the same score
gains nothing from the catalogue's order (in MovieLens low ids are popular).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def tie_ranks(n: int, seed: int = 0) -> Tensor:
    """A fixed random permutation int64 [n]: the order in which ties among n items are broken."""
    return torch.from_numpy(np.random.default_rng(seed).permutation(n))


def topk(scores: Tensor, k: int, ranks: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The k best columns of each row, best first, equal scores by ascending rank.

    Args:
        scores: float32 [..., n], no NaN.
        k: at most n.
        ranks: int64 [n] or broadcastable, distinct, below 2**32; None is the column number.

    Returns:
        (scores [..., k], columns int64 [..., k]).
    """
    bits = (scores.float() + 0.0).view(torch.int32)  # + 0.0 turns -0.0 into 0.0
    ordered = torch.where(bits >= 0, bits, bits ^ 0x7FFFFFFF).long()  # integers in the order of the floats
    if ranks is None:
        ranks = torch.arange(scores.shape[-1], device=scores.device)
    key = (ordered << 32) - ranks
    columns = key.topk(k, dim=-1).indices
    return scores.gather(-1, columns), columns
