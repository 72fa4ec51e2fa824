"""The dense head: embedding recall from the same trunk as generation."""

from __future__ import annotations

from math import log

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.generative.linear import Linear, linear
from genrec.generative.repeat import RepeatWeight
from genrec.generative.softmax import exact

Pairs = tuple[Tensor, Tensor]  # (row int64 [P], item int64 [P]): the items that were taken before each target


class DenseHead(nn.Module):
    """Softmax over items: cosine of state and item vector, learned temperature, item bias.

    The item vectors are made from the model's own input embeddings, so that generation and embedding recall
    share what they know of items.

    Args:
        width: D of the state.
        item_dim: width of the item embeddings.
        n_items: N.
        negatives: uniform negatives, drawn per batch and shared by its rows; None is the full softmax.
        repeat: learn what is added to the logit of an item that was taken before.
    """

    def __init__(
        self, width: int, item_dim: int, n_items: int, negatives: int | None, repeat: bool = False
    ) -> None:
        super().__init__()
        self.negatives = None if negatives is None or negatives >= n_items else negatives
        self.query = Linear(width, width, bias=True)
        self.key = Linear(item_dim, width, bias=True)
        self.log_scale = nn.Parameter(torch.tensor(2.5))  # e^2.5 = 12
        self.bias = nn.Embedding(n_items, 1)
        nn.init.zeros_(self.bias.weight)
        self.repeat = RepeatWeight(1) if repeat else None

    def queries(self, state: Tensor) -> Tensor:
        """States [M, D] -> search vectors [M, D + 1] whose dot product with `keys` is the logit."""
        unit = F.normalize(self.query(state), dim=-1) * self.log_scale.exp()
        return torch.cat([unit, torch.ones_like(unit[..., :1])], dim=-1)

    def keys(self, vectors: Tensor, items: Tensor) -> Tensor:
        """Item embeddings [n, E] of items int64 [n] -> index vectors [n, D + 1]."""
        return torch.cat([F.normalize(self.key(vectors), dim=-1), self.bias(items)], dim=-1)

    def logits(self, state: Tensor, keys: Tensor, taken: Pairs | None) -> Tensor:
        """Logits [M, N] of states [M, D] for the index vectors of all items [N, D + 1]."""
        logits = exact(linear(self.queries(state), keys))
        if self.repeat is None or taken is None:
            return logits
        row, item = taken
        return logits.index_put((row, item), self.repeat().expand(len(row)), accumulate=True)

    def loss(
        self,
        state: Tensor,
        target: Tensor,
        vectors: Tensor,
        taken: Pairs | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        """Mean softmax cross-entropy of targets int64 [M] over the catalogue.

        Args:
            state: [M, D].
            target: items int64 [M].
            vectors: item embeddings of all items [N, E].
            taken: the items before each target; needed with `repeat`.
            out: items that are no negatives, bool [N].
        """
        everything = torch.arange(len(vectors), device=vectors.device)
        logits = self.logits(state, self.keys(vectors, everything), taken)
        return F.cross_entropy(logits if out is None else logits.masked_fill(out, -torch.inf), target)

    def sampled_loss(
        self,
        state: Tensor,
        target: Tensor,
        own: Tensor,
        drawn: Tensor,
        vectors: Tensor,
        taken: Pairs | None = None,
        n_items: int | None = None,
    ) -> Tensor:
        """The same with its sum over items estimated from a uniform sample (Jean et al. 2015, §3.1).

        Each of n drawn items stands for N / n items, which makes the estimate of the sum unbiased; a row's own
        target is not among its negatives.

        Args:
            state: [M, D].
            target: items int64 [M].
            own: item embeddings of the targets [M, E].
            drawn: items int64 [n], uniform with replacement, ascending.
            vectors: item embeddings of `drawn` [n, E].
            taken: the items before each target; needed with `repeat`.
            n_items: how many items `drawn` is a sample of; None is all N.
        """
        queries = self.queries(state)
        positive = (queries * self.keys(own, target)).sum(-1)  # [M]
        weight = log((n_items or self.bias.num_embeddings) / len(drawn))
        negative = exact(linear(queries, self.keys(vectors, drawn))) + weight  # [M, n]
        if self.repeat is not None and taken is not None:
            row, item = taken
            again = row[item == target[row]]  # targets that are repeats themselves
            positive = positive.index_put((again,), self.repeat().expand(len(again)), accumulate=True)
            pair, column = _places(item, drawn)
            cell = (row[pair], column)
            negative = negative.index_put(cell, self.repeat().expand(len(pair)), accumulate=True)
        negative = negative.masked_fill(drawn == target[:, None], -torch.inf)
        return (torch.cat([positive[:, None], negative], dim=1).logsumexp(1) - positive).mean()


def _places(items: Tensor, drawn: Tensor) -> Pairs:
    """Where items [P] occur in the ascending `drawn` [n]: (index into items, column), one per occurrence."""
    low, high = torch.searchsorted(drawn, items), torch.searchsorted(drawn, items, right=True)
    index = torch.repeat_interleave(high - low)
    nth = torch.arange(len(index), device=index.device) - ((high - low).cumsum(0) - high + low)[index]
    return index, low[index] + nth
