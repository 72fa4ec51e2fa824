"""The code decoder: from a history's state to the codes of the next item, level by level.

The idea is the depth transformer of Lee et al. 2022 (RQ-Transformer, §3.2), with one residual MLP per level
in place of attention: the prefix is at most L - 1 codes, and their sum of embeddings says it all.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.generative.dropout import Dropout
from genrec.generative.search import code_log_probs
from genrec.generative.tree import CodeTree


class LevelHead(nn.Module):
    """One level: a residual MLP and a classifier over the level's codes."""

    def __init__(self, width: int, size: int, dropout: float) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            Dropout(dropout),
            nn.Linear(2 * width, width),
        )
        self.norm = nn.LayerNorm(width)
        self.classify = nn.Linear(width, size)

    def forward(self, h: Tensor) -> Tensor:
        """H [..., D] -> logits [..., K]."""
        return self.classify(self.norm(h + self.mlp(h)))  # type: ignore[no-any-return]


class CodeDecoder(nn.Module):
    """Predicts code l from state + sum of the embeddings of codes 0 .. l - 1.

    Args:
        sizes: codebook sizes.
        width: D.
        dropout: inside the level heads.
    """

    def __init__(self, sizes: Sequence[int], width: int, dropout: float) -> None:
        super().__init__()
        self.heads = nn.ModuleList(LevelHead(width, size, dropout) for size in sizes)
        self.prefix = nn.ModuleList(nn.Embedding(size, width) for size in sizes[:-1])
        for table in self.prefix:
            nn.init.normal_(table.weight, std=0.02)  # type: ignore[arg-type]

    def level_losses(
        self, state: Tensor, codes: Tensor, path: Tensor, tree: CodeTree | None, smoothing: float = 0.0
    ) -> list[Tensor]:
        """Cross-entropy of each level, teacher-forced.

        Args:
            state: [M, D].
            codes: int64 [M, L], the target's codes.
            path: int64 [M, L], the target's nodes of depth 1 .. L.
            tree: normalise over the children that exist (tree-aware softmax), as search does; None is over all codes.
            smoothing: probability mass spread over the valid codes.
        """
        losses = []
        nodes = torch.zeros_like(path[:, 0])
        h = state
        for level, head in enumerate(self.heads):
            logits = head(h)
            valid = None if tree is None else tree.valid_codes(level, nodes)
            losses.append(_cross_entropy(logits, codes[:, level], valid, smoothing))
            if level < len(self.prefix):
                h = h + self.prefix[level](codes[:, level])
                nodes = path[:, level]
        return losses

    def scorer(self, state: Tensor) -> DecoderScorer:
        """A search over the codes that follow each state [B, D]."""
        return DecoderScorer(self, state)


class DecoderScorer:
    """Beams of a `CodeDecoder`: the running sum of state and prefix embeddings is all they carry."""

    def __init__(self, decoder: CodeDecoder, state: Tensor) -> None:
        self.decoder = decoder
        self.state = state

    def start(self) -> Tensor:
        """Logits of the first code [B, 1, K_0]; forgets beams of a search before."""
        self.h = self.state[:, None]  # [B, 1, D]
        return self.decoder.heads[0](self.h)  # type: ignore[no-any-return]

    def advance(self, level: int, parent: Tensor, code: Tensor) -> Tensor:
        """Continue beams by `code` [B, W] of level - 1; logits [B, W, K_level]."""
        chosen = self.h.gather(1, parent[..., None].expand(-1, -1, self.h.shape[-1]))
        self.h = chosen + self.decoder.prefix[level - 1](code)
        return self.decoder.heads[level](self.h)  # type: ignore[no-any-return]


def _cross_entropy(logits: Tensor, target: Tensor, valid: Tensor | None, smoothing: float) -> Tensor:
    """Mean cross-entropy over rows [M, K], over valid codes only; smoothing is uniform over those."""
    log_probs = code_log_probs(logits, valid)
    loss = F.nll_loss(log_probs, target)
    if smoothing == 0.0:
        return loss
    allowed = torch.ones_like(logits, dtype=torch.bool) if valid is None else valid
    spread = -log_probs.masked_fill(~allowed, 0.0).sum(-1) / allowed.sum(-1)
    return (1 - smoothing) * loss + smoothing * spread.mean()
