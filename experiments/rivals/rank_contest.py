"""The ground that rank models share: labelled rows with the same features for everyone, in the same batches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from genrec.data.load import load_dataset
from genrec.data.splits import GlobalTime
from genrec.data.tables import Dataset, Interactions, ItemTable, UserTable
from genrec.ranking.examples import Epochs, Examples
from genrec.ranking.fields import Batch
from genrec.ranking.fitted import FittedSchema
from genrec.ranking.labels import LabelRule
from genrec.ranking.losses import Targets
from genrec.ranking.schema import Schema

HIDDEN, ATTENTION = (128, 64), (36,)
FEATURES: dict[str, dict[str, Any]] = {  # kinds that every package knows: ids, several ids, a history of ids
    "user": {"kind": "categorical", "source": "user"},
    "item": {"kind": "categorical", "source": "item"},
    "year": {"kind": "bucketised", "source": "item.year", "bins": 10},
    "hour": {"kind": "categorical", "source": "statistic.hour"},
    "weekday": {"kind": "categorical", "source": "statistic.weekday"},
    "genres": {"kind": "multi_label", "source": "item.genres"},
}
HISTORY: dict[str, Any] = {"kind": "sequence", "source": "history", "shares": "item"}


@dataclass(frozen=True)
class RankSizes:
    """How large the comparison is.

    Attributes:
        width: D, of every feature's vector.
        history: T, items of a history.
        rows: in a batch.
        batches: in a repeat.
        events: synthetic ones, where there is no data set.
    """

    width: int = 16
    history: int = 50
    rows: int = 1024
    batches: int = 10
    events: int = 50_000


FULL_RANK = RankSizes()
TINY_RANK = RankSizes(width=4, history=6, rows=64, batches=2, events=2000)


class RankWorld:
    """Rows of MovieLens 100K, or synthetic ones, with their features.

    Args:
        sizes: of everything.
        folder: of MovieLens 100K.
    """

    def __init__(self, sizes: RankSizes, folder: Path) -> None:
        self.sizes = sizes
        self.source = "MovieLens 100K" if folder.is_dir() else "synthetic ratings"
        data = load_dataset("ml100k", folder) if folder.is_dir() else _synthetic(sizes)
        train = GlobalTime()(data.interactions).train
        features = {**FEATURES, "history": {**HISTORY, "length": sizes.history}}
        self.schema: FittedSchema = Schema(features).fit(train, data.items, data.users)
        self.rows = LabelRule()(train)

    @cached_property
    def examples(self) -> Examples:
        """All rows."""
        return Examples(self.schema.transform, self.rows)

    @cached_property
    def batches(self) -> list[tuple[Batch, Targets]]:
        """Batches that were made beforehand."""
        epochs = Epochs(len(self.examples), self.sizes.rows, seed=0)
        chosen = [epochs.rows(step) for step in range(self.sizes.batches)]
        return [(self.examples.features(rows), self.examples.targets(rows)) for rows in chosen]

    @property
    def n_rows(self) -> int:
        """In all batches together."""
        return sum(len(targets.labels) for _, targets in self.batches)

    def size(self, field: str) -> int:
        """Ids of a field."""
        return next(one.size for one in self.schema.fields if one.name == field)


def without_batch_norm(model: nn.Module) -> nn.Module:
    """The model with every batch normalisation made the identity: no paper here has one, but for Dice."""
    for module in model.modules():
        for name, inner in module.named_children():
            if isinstance(inner, nn.BatchNorm1d):
                setattr(module, name, nn.Identity())
    return model


def copied(pairs: list[tuple[Tensor, Tensor]]) -> None:
    """Write the first of each pair over the second."""
    with torch.no_grad():
        for source, target in pairs:
            target.copy_(source.reshape(target.shape))


def largest_difference(ours: nn.Module, theirs: nn.Module, batch: Batch) -> float:
    """Between the probabilities of logits and those of a model that gives probabilities."""
    with torch.no_grad():
        return float((ours(batch).sigmoid() - theirs(batch)).abs().max())


def _synthetic(sizes: RankSizes) -> Dataset:
    """Ratings with popular items and active users; times in order."""
    rng = np.random.default_rng(0)
    users, items, n = max(sizes.events // 100, 10), max(sizes.events // 50, 20), sizes.events
    events = Interactions(
        (users * rng.random(n) ** 2).astype(np.int32),
        (items * rng.random(n) ** 3).astype(np.int32),
        users,
        items,
        rng.integers(1, 6, n).astype(np.float32),
        np.sort(rng.integers(0, 10**7, n)),
    )
    genres = rng.integers(0, 15, (items, 3))
    frame = pd.DataFrame(
        {
            "item_id": np.arange(items),
            "title": [str(i) for i in range(items)],
            "year": pd.array(rng.integers(1930, 2000, items), dtype="Int64"),
            "genres": [sorted({f"genre{g}" for g in row}) for row in genres],
        }
    )
    user_table = UserTable(pd.DataFrame({"user_id": np.arange(users)}))
    return Dataset("synthetic", events, ItemTable(frame), user_table, "synthetic")
