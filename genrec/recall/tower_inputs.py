"""What a tower knows of a user or an item: its id, and statistics of training events.

Honest within training, too: where an event is the positive, the statistics of its user and its item are those of all
other events (leave-one-out), as they are when an event that is not known yet has to be foretold.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genrec.data.tables import Interactions

SHRINK = 5.0
"""Ratings of average height that a mean starts with."""
STEPS_PER_DOUBLING = 2
"""Buckets of a count per factor of two."""


class Event(NamedTuple):
    """One event per row, which statistics of that row leave out.

    Attributes:
        items: int64 [B].
        ratings: float32 [B], NaN where unknown, or None.
    """

    items: Tensor
    ratings: Tensor | None = None


class TowerInput(nn.Module):
    """A part of a tower's input, for users or for items.

    Attributes:
        width: of the part.
    """

    width: int

    def forward(self, rows: Tensor, event: Event | None) -> Tensor:
        """Users or items int64 [B], each without an event of its own if given -> [B, width]."""
        raise NotImplementedError


class Ids(TowerInput):
    """An embedding by id. Those without a training event share a row, which learns from ids dropped in training.

    Args:
        counts: training events [n].
        width: of the embedding.
        dropout: share of rows in training that are taken for unknown.
    """

    known: Tensor

    def __init__(self, counts: NDArray[np.int64], width: int, dropout: float) -> None:
        super().__init__()
        self.width, self.dropout = width, dropout
        self.register_buffer("known", torch.from_numpy(counts > 0), persistent=False)
        self.table = _embedding(len(counts) + 1, width)

    def forward(self, rows: Tensor, event: Event | None) -> Tensor:
        """Rows of the table; 0 is the unknown."""
        known = self.known[rows]
        if self.training and self.dropout:
            known = known & (torch.rand(len(rows), device=rows.device) >= self.dropout)
        return self.table(torch.where(known, rows + 1, 0))  # type: ignore[no-any-return]


class Count(TowerInput):
    """An embedding of the number of events, in logarithmic buckets: activity of users, popularity of items."""

    counts: Tensor

    def __init__(self, counts: NDArray[np.int64], width: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("counts", torch.from_numpy(counts), persistent=False)
        self.table = _embedding(int(self.bucket(self.counts.max())) + 1, width)

    def forward(self, rows: Tensor, event: Event | None) -> Tensor:
        """The bucket's embedding."""
        counts = self.counts[rows] - int(event is not None)
        return self.table(self.bucket(counts))  # type: ignore[no-any-return]

    @staticmethod
    def bucket(counts: Tensor) -> Tensor:
        """0 is no event."""
        return (STEPS_PER_DOUBLING * (counts + 1).double().log2()).ceil().long()


class MeanRating(TowerInput):
    """The mean rating above or below that of all, shrunk towards it, and whether there is any.

    Args:
        rows: user or item of each event [E].
        ratings: float [E], NaN where unknown.
        n: users or items.
    """

    width = 2
    sums: Tensor
    rated: Tensor

    def __init__(self, rows: NDArray[np.int32], ratings: NDArray[np.float32], n: int) -> None:
        super().__init__()
        known = np.isfinite(ratings)
        self.middle = float(ratings[known].mean(dtype=np.float64))
        above = ratings[known].astype(np.float64) - self.middle
        sums, rated = np.bincount(rows[known], above, minlength=n), np.bincount(rows[known], minlength=n)
        self.register_buffer("sums", torch.from_numpy(sums).float(), persistent=False)
        self.register_buffer("rated", torch.from_numpy(rated), persistent=False)

    def forward(self, rows: Tensor, event: Event | None) -> Tensor:
        """(mean, 1 if rated at all)."""
        sums, rated = self.sums[rows], self.rated[rows]
        if event is not None and event.ratings is not None:
            known = event.ratings.isfinite()
            sums = sums - torch.where(known, event.ratings - self.middle, 0.0)
            rated = rated - known.long()
        sums = torch.where(rated > 0, sums, 0.0)  # what rounding leaves of the last rating would give it away
        return torch.stack([sums / (rated + SHRINK), (rated > 0).float()], dim=1)


class TopGenres(TowerInput):
    """Mean of the embeddings of a user's most frequent genres.

    Args:
        train: events.
        genres: bool [N, G].
        width: of the embedding.
        top: genres that count.
    """

    profile: Tensor
    genres: Tensor

    def __init__(self, train: Interactions, genres: NDArray[np.bool_], width: int, top: int = 3) -> None:
        super().__init__()
        self.width, self.top = width, min(top, genres.shape[1])
        profile = np.zeros((train.n_users, genres.shape[1]), dtype=np.int32)
        for genre in range(genres.shape[1]):
            profile[:, genre] = np.bincount(train.users, genres[train.items, genre], train.n_users)
        self.register_buffer("profile", torch.from_numpy(profile), persistent=False)
        self.register_buffer("genres", torch.from_numpy(genres), persistent=False)
        self.table = _embedding(genres.shape[1], width)

    def forward(self, rows: Tensor, event: Event | None) -> Tensor:
        """Zero for a user without genres."""
        profile = self.profile[rows]
        if event is not None:
            profile = profile - self.genres[event.items].int()
        # genres that occur equally often are taken in their order: a sort is the same on every device
        times, best = profile.sort(dim=1, descending=True, stable=True)
        weights = (times[:, : self.top] > 0).float()
        weights = weights / weights.sum(1, keepdim=True).clamp_min(1)
        return torch.einsum("bg,bgd->bd", weights, self.table(best[:, : self.top]))


class ItemGenres(TowerInput):
    """Mean of the embeddings of an item's genres.

    Args:
        genres: bool [N, G].
        width: of the embedding.
    """

    shares: Tensor

    def __init__(self, genres: NDArray[np.bool_], width: int) -> None:
        super().__init__()
        self.width = width
        shares = genres / np.maximum(genres.sum(axis=1, keepdims=True), 1)
        self.register_buffer("shares", torch.from_numpy(shares).float(), persistent=False)
        self.table = _embedding(genres.shape[1], width)

    def forward(self, rows: Tensor, event: Event | None) -> Tensor:
        """Zero for an item without genres."""
        return self.shares[rows] @ self.table.weight


class Dense(TowerInput):
    """Vectors that are known of items, standardised, through a learned projection.

    Args:
        vectors: float [N, F].
        present: bool [N]; other items are zero.
        width: after the projection; None leaves them as they are.
    """

    vectors: Tensor

    def __init__(
        self, vectors: NDArray[np.floating], present: NDArray[np.bool_], width: int | None = None
    ) -> None:
        super().__init__()
        known = vectors[present]
        scaled = np.zeros(vectors.shape, dtype=np.float32)
        scaled[present] = (known - known.mean(axis=0)) / np.maximum(known.std(axis=0), 1e-6)
        flagged = np.concatenate([scaled, present[:, None].astype(np.float32)], axis=1)
        self.register_buffer("vectors", torch.from_numpy(flagged), persistent=False)
        self.width = flagged.shape[1] if width is None else width
        self.project = nn.Identity() if width is None else nn.Linear(flagged.shape[1], width)

    def forward(self, rows: Tensor, event: Event | None) -> Tensor:
        """Projected vectors."""
        return self.project(self.vectors[rows])  # type: ignore[no-any-return]


class Prefixes(TowerInput):
    """Sum of the embeddings of an item's semantic-id prefixes: what similar items share, coarse to fine.

    Args:
        codes: int [N, L], without the level that only tells items apart.
        width: of the embeddings.
    """

    prefixes: Tensor

    def __init__(self, codes: NDArray[np.integer], width: int) -> None:
        super().__init__()
        self.width = width
        numbers, total = [], 0
        for level in range(codes.shape[1]):
            _, number = np.unique(codes[:, : level + 1], axis=0, return_inverse=True)
            numbers.append(number.reshape(-1) + total)
            total += int(number.max()) + 1
        self.register_buffer("prefixes", torch.from_numpy(np.stack(numbers, axis=1)), persistent=False)
        self.table = _embedding(total, width)

    def forward(self, rows: Tensor, event: Event | None) -> Tensor:
        """Sum over the levels."""
        return self.table(self.prefixes[rows]).sum(1)  # type: ignore[no-any-return]


def _embedding(n: int, width: int) -> nn.Embedding:
    table = nn.Embedding(n, width)
    nn.init.normal_(table.weight, std=0.1)
    return table
