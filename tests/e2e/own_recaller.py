"""A recaller as a user would write it, in a module of the user's own: matrix factorisation by full softmax."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.recall.neural import Lesson, NeuralRecaller, Training
from genrec.recall.vector_index import VectorIndex


class Factors(NeuralRecaller):
    """One vector per user and item, and what the features say of an item if there are any."""

    def __init__(
        self, training: Training | None = None, width: int = 8, index: VectorIndex | None = None
    ) -> None:
        super().__init__(training=training, index=index)
        if width < 1:
            raise ConfigError(f"Factors.width must be at least 1, got {width}")
        self.width = width

    def _lesson(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> Lesson:
        return FactorsLesson(train, self.width, features)


class FactorsLesson(Lesson):
    """Batches of 64 events."""

    def __init__(self, train: Interactions, width: int, features: ItemFeatures | None) -> None:
        super().__init__()
        self.users = nn.Embedding(train.n_users, width)
        self.items = nn.Embedding(train.n_items, width)
        seen = torch.zeros(train.n_items, 1) if features is None else torch.from_numpy(features.vectors)
        self.register_buffer("seen", seen, persistent=False)
        self.project = nn.Linear(seen.shape[1], width, bias=False)
        self.pairs = torch.tensor([train.users.tolist(), train.items.tolist()])
        self.steps_per_epoch = len(train) // 64

    def loss(self, step: int) -> Tensor:
        user, item = self.pairs[:, torch.randint(len(self.pairs[0]), (64,))]
        return nn.functional.cross_entropy(self.users(user) @ self.table().T, item)

    def table(self) -> Tensor:
        return self.items.weight + self.project(self.seen)

    def vectors(self) -> tuple[Tensor, Tensor]:
        return self.users.weight, self.table()
