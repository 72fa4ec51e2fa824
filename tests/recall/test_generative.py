"""Recallers over a trained model: the shared battery, and what each of them adds.

`fit` of the battery's recallers trains a small model from scratch; the item it must find is a matter of the
history alone, since semantic ids are random.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any, Self

import numpy as np
import pytest
import torch
from battery import COLD, EVERYTHING, N_ITEMS, N_USERS, RecallerBattery, assert_same, catalogue, checkerboard
from numpy.typing import NDArray

from genrec.data.histories import Histories
from genrec.data.recommendations import Recommendations
from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.generative.batches import BatchPlan
from genrec.generative.timeline import Timeline
from genrec.generative.tree import CodeTree
from genrec.recall import generative
from genrec.recall.generative import (
    EmbeddingRecaller,
    GenerativeRecaller,
    HybridRecaller,
    ModelRecaller,
    recallers,
)
from genrec.recall.vector_index import ExactIndex, FaissIndex

SIZES = (5, 5)
EVERYONE = np.arange(N_USERS, dtype=np.int32)
_trained: dict[str, Timeline] = {}


def trained(train: Interactions, steps: int, **changes: Any) -> Timeline:
    """A small model trained on the histories, the same for the same arguments."""
    torch.manual_seed(0)
    leaves = np.random.default_rng(1).permutation(np.prod(SIZES))[: train.n_items]
    tree = CodeTree.of(np.stack(np.unravel_index(leaves, SIZES), axis=1), SIZES)
    sizes = {"embed_dim": 16, "width": 16, "heads": 2, "layers": 1, "max_length": 12, "dropout": 0.0}
    model = Timeline(tree, **sizes | changes)
    plan = BatchPlan(Histories.of(train), max_length=12, tokens=128, rows=16, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for step in range(steps):
        optimizer.zero_grad()
        model(*plan.batch(step))["loss"].backward()
        optimizer.step()
    return model


class TrainedRecaller:
    """Trains on `fit`, then recommends as `make` says; a model that was trained before is used again."""

    def __init__(self, make: Callable[[Timeline], ModelRecaller]) -> None:
        self.make = make

    def fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None = None) -> Self:
        steps = 150 if train.n_items == N_ITEMS else 2  # the battery's random events ask for no learning
        key = hashlib.sha256(train.users.tobytes() + b"|" + train.items.tobytes()).hexdigest() + str(
            train.n_items
        )
        if key not in _trained:
            _trained[key] = trained(train, steps)
        self.recaller = self.make(_trained[key]).fit(train, items, features)
        return self

    def recommend(self, users: NDArray[np.int32], k: int, *, exclude_seen: bool = True) -> Recommendations:
        return self.recaller.recommend(users, k, exclude_seen=exclude_seen)


class TestBeam(RecallerBattery):
    def make(self, batch_size: int = 256) -> TrainedRecaller:
        return TrainedRecaller(lambda model: GenerativeRecaller(model, width=10, batch_size=batch_size))


class TestExact(RecallerBattery):
    def make(self, batch_size: int = 256) -> TrainedRecaller:
        return TrainedRecaller(lambda model: GenerativeRecaller(model, exact=True, batch_size=batch_size))


class TestEmbedding(RecallerBattery):
    def make(self, batch_size: int = 256) -> TrainedRecaller:
        return TrainedRecaller(lambda model: EmbeddingRecaller(model, batch_size=batch_size))


class TestHybrid(RecallerBattery):
    def make(self, batch_size: int = 256) -> TrainedRecaller:
        return TrainedRecaller(lambda model: HybridRecaller(model, width=10, batch_size=batch_size))
