"""The dense head: embedding recall from the same trunk as generation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DenseHead(nn.Module):
    """Softmax over items: cosine of state and item vector, learned temperature, item bias.

    The item vectors are made from the model's own input embeddings, so that generation and embedding recall
    share what they know of items.

    Args:
        width: D of the state.
        item_dim: width of the item embeddings.
        n_items: N.
        negatives: uniform negatives shared by a batch; None is the full softmax.
    """

    def __init__(self, width: int, item_dim: int, n_items: int, negatives: int | None) -> None:
        super().__init__()
        self.negatives = negatives
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(item_dim, width)
        self.log_scale = nn.Parameter(torch.tensor(2.5))  # e^2.5 = 12
        self.bias = nn.Embedding(n_items, 1)
        nn.init.zeros_(self.bias.weight)

    def queries(self, state: Tensor) -> Tensor:
        """States [M, D] -> search vectors [M, D + 1] whose dot product with `keys` is the logit."""
        unit = F.normalize(self.query(state), dim=-1) * self.log_scale.exp()
        return torch.cat([unit, torch.ones_like(unit[..., :1])], dim=-1)

    def keys(self, vectors: Tensor, items: Tensor) -> Tensor:
        """Item embeddings [n, E] of items int64 [n] -> index vectors [n, D + 1]."""
        return torch.cat([F.normalize(self.key(vectors), dim=-1), self.bias(items)], dim=-1)

    def loss(self, state: Tensor, target: Tensor, vectors: Tensor, items: Tensor) -> Tensor:
        """Softmax cross-entropy of targets.

        Args:
            state: [M, D].
            target: int64 [M], positions in `items`.
            vectors: item embeddings of `items` [n, E].
            items: int64 [n], the candidates: the whole catalogue, or targets and sampled negatives.
        """
        return F.cross_entropy(self.queries(state) @ self.keys(vectors, items).T, target)
