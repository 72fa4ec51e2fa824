"""A decoder of long semantic ids: all digits at once, each from the state alone.

RPG (Hou et al. 2025, "Generating Long Semantic IDs in Parallel for Recommendation") gives an item up to 64 unordered
digits of a product quantiser and predicts each of them on its own, so the log-probability of an item is the sum of
those of its digits, and training is one softmax per digit. RPG searches with a graph of similar items. Here every item
is scored instead: with the log-probabilities of all digits in a table, an item costs L additions, and
12,000 items of 32 digits for 1,000 users take about a fifth of a second on one core.

Probabilities are over all ids, those of no item too: `Timeline.tree_softmax` must be off. A softmax over the children
that exist makes a digit depend on the digits before it, so `item_scores` would be no log-probabilities of the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.generative.decoder import Level
from genrec.generative.dropout import Dropout
from genrec.generative.linear import Linear, linear

SCALE = 2.5  # logarithm of the first scale of cosines
TABLE = 1 << 20  # numbers in the table of a block of states: 4 MB, which stays in a cache


class DigitHead(nn.Module):
    """One digit: a residual layer, and the cosine between its output and each code, times a learned scale."""

    def __init__(self, width: int, size: int, dropout: float) -> None:
        super().__init__()
        self.project = Linear(width, width, bias=True)
        self.dropout = Dropout(dropout)
        self.codes = nn.Parameter(torch.randn(size, width) * 0.02)
        self.log_scale = nn.Parameter(torch.tensor(SCALE))
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, state: Tensor) -> Level:
        """State [..., D] -> hidden [..., D], logits [..., K]."""
        hidden = F.normalize(state + self.dropout(F.silu(self.project(state))), dim=-1)
        codes = F.normalize(self.codes, dim=-1) * self.log_scale.exp()
        return Level(hidden, linear(hidden, codes, self.bias))


class ParallelDecoder(nn.Module):
    """Predicts every code from the state, whatever the other codes are.

    Args:
        sizes: codebook sizes.
        width: D.
        dropout: inside the digit heads.
    """

    def __init__(self, sizes: Sequence[int], width: int, dropout: float) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.heads = nn.ModuleList(DigitHead(width, size, dropout) for size in sizes)

    def teacher_forced(self, state: Tensor, codes: Tensor) -> list[Level]:
        """All levels for states [M, D]; the codes int64 [M, L] of the targets change nothing."""
        return [head(state) for head in self.heads]

    def beams(self, state: Tensor) -> ParallelBeams:
        """Decoding of states [B, D]."""
        levels = [head(state) for head in self.heads]
        return ParallelBeams(levels, torch.arange(len(state), device=state.device))

    @torch.no_grad()
    def item_scores(self, state: Tensor, codes: Tensor) -> Tensor:
        """Log-probability of every item: the sum of those of its codes.

        Args:
            state: [B, D].
            codes: integer [N, L], of the items.

        Returns:
            [B, N]; beyond it, memory is that of the indices [N, L] and of the scores of one block of states.
        """
        offsets = torch.tensor((0, *self.sizes[:-1]), device=codes.device).cumsum(0)
        index = (codes + offsets).int()  # of a code among the codes of all levels
        scores = state.new_empty(len(state), len(codes))
        block = max(1, TABLE // sum(self.sizes))
        for start in range(0, len(state), block):
            rows = slice(start, start + block)
            scores[rows] = _sums(self._log_probs(state[rows]), index)
        return scores

    def _log_probs(self, state: Tensor) -> Tensor:
        """Log-probabilities of the codes of all levels, one after the other: [B, sum of sizes]."""
        return torch.cat([head(state).logits.log_softmax(-1) for head in self.heads], dim=-1)


def _sums(log_probs: Tensor, index: Tensor) -> Tensor:
    """Sums of the columns [N, L] of log-probabilities [B, C], for every row: [B, N].

    A bag of embeddings is just that, with the rows of the batch as the embedding, so that what it reads is contiguous.
    """
    return F.embedding_bag(index, log_probs.t().contiguous(), mode="sum").t()


class ParallelBeams:
    """Beams of a `ParallelDecoder`: every beam of a request has the same answers, which are known from the start.

    Args:
        levels: of the states, [S, ...] each.
        rows: int64 [B], the state of each request.
    """

    def __init__(self, levels: list[Level], rows: Tensor) -> None:
        self.levels, self.rows = levels, rows

    def start(self) -> Level:
        """The first level, [B, 1, ...]."""
        return self._answer(0, 1)

    def advance(self, level: int, parent: Tensor, code: Tensor) -> Level:
        """Level `level` of W beams, [B, W, ...]; which ones they continue changes nothing."""
        return self._answer(level, parent.shape[1])

    def select(self, rows: Tensor) -> ParallelBeams:
        """The same for requests `rows` int64 [R]."""
        return ParallelBeams(self.levels, self.rows[rows])

    def _answer(self, level: int, beams: int) -> Level:
        hidden, logits = (one[self.rows, None].expand(-1, beams, -1) for one in self.levels[level])
        return Level(hidden, logits)
