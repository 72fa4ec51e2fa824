"""The dense head: embedding recall from the same trunk as generation."""

from __future__ import annotations

from math import log

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
        negatives: uniform negatives, drawn per batch and shared by its rows; None is the full softmax.
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

    def loss(self, state: Tensor, target: Tensor, vectors: Tensor) -> Tensor:
        """Mean softmax cross-entropy of targets int64 [M] over the catalogue.

        Args:
            state: [M, D].
            target: items int64 [M].
            vectors: item embeddings of all items [N, E].
        """
        everything = torch.arange(len(vectors), device=vectors.device)
        return F.cross_entropy(self.queries(state) @ self.keys(vectors, everything).T, target)

    def sampled_loss(
        self, state: Tensor, target: Tensor, own: Tensor, drawn: Tensor, vectors: Tensor
    ) -> Tensor:
        """The same with its sum over items estimated from a uniform sample (Jean et al. 2015, §3.1).

        Each drawn item stands for N / n items, which makes the estimate of the sum unbiased; a row's own
        target is not among its negatives.

        Args:
            state: [M, D].
            target: items int64 [M].
            own: item embeddings of the targets [M, E].
            drawn: items int64 [n], uniform with replacement.
            vectors: item embeddings of `drawn` [n, E].
        """
        queries = self.queries(state)
        positive = (queries * self.keys(own, target)).sum(-1, keepdim=True)  # [M, 1]
        negative = queries @ self.keys(vectors, drawn).T + log(self.bias.num_embeddings / len(drawn))
        negative = negative.masked_fill(drawn == target[:, None], -torch.inf)  # [M, n]
        return (torch.cat([positive, negative], dim=1).logsumexp(1) - positive[:, 0]).mean()
