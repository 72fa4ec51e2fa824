"""Two towers: a network over what is known of a user, one over what is known of an item, and their inner product."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from genrec.artifacts import input_ref, read_manifest
from genrec.data.histories import Histories
from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.generative.dropout import Dropout
from genrec.recall.frequency import StreamingFrequency
from genrec.recall.losses import InBatchSoftmax, PairLoss, Pairs
from genrec.recall.minibatches import Minibatches
from genrec.recall.neural import Lesson, NeuralRecaller, Training
from genrec.recall.side_inputs import ITEM_INPUTS, USER_INPUTS, Facts, inputs
from genrec.recall.taken import Taken
from genrec.recall.tower_inputs import Event, Ids, TowerInput
from genrec.recall.vector_index import VectorIndex
from genrec.tokenizer.store import KIND, load_ids
from genrec.training.processes import Processes

ROWS = 4096
"""Users or items whose vectors are computed at once after training."""


class TwoTower(NeuralRecaller):
    """DSSM (Huang et al. 2013) for recall, as in Yi et al. (2019): ids alone, or ids with side information.

    A training event is a positive once per epoch. Items without training events share one id embedding, learned
    from ids that are dropped in training, so that with side information they get the vector of their content.

    Args:
        loss: in-batch softmax with logQ correction if not given.
        user_inputs: of `genres` (the three most frequent), `rating` (mean), `activity` (number of events).
        item_inputs: of `genres`, `year`, `rating` (mean), `popularity` (number of events), `features` (those given to
            `fit`), `prefixes` (of semantic ids). What the data does not tell is left out.
        ids_path: artifact of semantic ids, for `prefixes`.
        id_width: of the id embeddings.
        input_width: of the embeddings of other inputs; features get four times, prefixes twice as much.
        hidden: widths of the hidden layers of both towers.
        width: D, of the vectors.
        normalised: whether vectors have length 1.
        dropout: on the towers' inputs.
        id_dropout: share of ids that are taken for unknown in training.
        mask_history: whether a user's other training items are left out of the negatives.
        frequency_rate: of `StreamingFrequency`.
        pairs: training events per batch.
        training: epochs, learning rate, optimiser, device.
        index: finds items instead of the exact product.
        batch_size: users scored at once.

    Raises:
        ConfigError: a value is out of range, or an input is unknown or has nothing to read.
    """

    def __init__(
        self,
        *,
        loss: PairLoss | None = None,
        user_inputs: Sequence[str] = (),
        item_inputs: Sequence[str] = (),
        ids_path: str | None = None,
        id_width: int = 128,
        input_width: int = 16,
        hidden: Sequence[int] = (),
        width: int = 64,
        normalised: bool = True,
        dropout: float = 0.0,
        id_dropout: float = 0.05,
        mask_history: bool = True,
        frequency_rate: float = 0.01,
        pairs: int = 1024,
        training: Training | None = None,
        index: VectorIndex | None = None,
        batch_size: int = 256,
    ) -> None:
        super().__init__(training=training, index=index, batch_size=batch_size)
        self.loss = loss or InBatchSoftmax()
        self.user_inputs, self.item_inputs, self.ids_path = tuple(user_inputs), tuple(item_inputs), ids_path
        self.id_width, self.input_width, self.hidden, self.width = id_width, input_width, tuple(hidden), width
        self.normalised, self.dropout, self.id_dropout = normalised, dropout, id_dropout
        self.mask_history, self.frequency_rate, self.pairs = mask_history, frequency_rate, pairs
        for name in ("id_width", "input_width", "width", "pairs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"TwoTower.{name} must be at least 1, got {getattr(self, name)}")
        if min(self.hidden, default=1) < 1:
            raise ConfigError(f"TwoTower.hidden must be widths of at least 1, got {list(self.hidden)}")
        for name in ("dropout", "id_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"TwoTower.{name} must be in [0, 1), got {getattr(self, name)}")
        if not 0 < frequency_rate <= 1:
            raise ConfigError(f"TwoTower.frequency_rate must be in (0, 1], got {frequency_rate}")
        for name, known in (("user_inputs", USER_INPUTS), ("item_inputs", ITEM_INPUTS)):
            unknown = [one for one in getattr(self, name) if one not in known]
            if unknown:
                raise ConfigError(f"TwoTower.{name} must be of {', '.join(known)}; got {', '.join(unknown)}")

    def _lesson(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> Lesson:
        ids = None if self.ids_path is None else load_ids(Path(self.ids_path), items).ids
        facts = Facts(train, items, features, ids)
        user_counts = np.bincount(train.users, minlength=train.n_users)
        return TwoTowerLesson(
            train,
            self._tower(user_counts, inputs(self.user_inputs, USER_INPUTS, facts, self.input_width)),
            self._tower(train.item_counts(), inputs(self.item_inputs, ITEM_INPUTS, facts, self.input_width)),
            self.loss,
            Minibatches(len(train), self.pairs, self.training.runtime.seed),
            StreamingFrequency(train.n_items, self.frequency_rate),
            self.mask_history,
            self.training.runtime.processes,
        )

    def reads(self) -> dict[str, dict[str, str]]:
        """The semantic ids, if there are any."""
        if self.ids_path is None:
            return {}
        return {"semantic_ids": input_ref(self.ids_path, read_manifest(Path(self.ids_path), KIND).identity)}

    def _tower(self, counts: NDArray[np.int64], known: list[TowerInput]) -> Tower:
        parts = [Ids(counts, self.id_width, self.id_dropout), *known]
        return Tower(parts, self.hidden, self.width, self.dropout, self.normalised)


class Tower(nn.Module):
    """Inputs side by side, then layers with ReLU between them.

    Args:
        parts: inputs.
        hidden: widths of the layers before the last.
        width: D, of the last.
        dropout: on the inputs.
        normalised: whether vectors have length 1.
    """

    def __init__(
        self, parts: Sequence[TowerInput], hidden: Sequence[int], width: int, dropout: float, normalised: bool
    ) -> None:
        super().__init__()
        self.parts, self.normalised = nn.ModuleList(parts), normalised
        sizes = [sum(part.width for part in parts), *hidden, width]
        layers: list[nn.Module] = [Dropout(dropout)]
        for narrow, wide in pairwise(sizes):
            layers += [nn.Linear(narrow, wide), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, rows: Tensor, event: Event | None = None) -> Tensor:
        """Users or items int64 [B], each without an event of its own if given -> vectors [B, D]."""
        x = torch.cat([part(rows, event) for part in self.parts], dim=1)
        x = self.layers(x)
        return F.normalize(x, dim=1) if self.normalised else x

    def everyone(self, n: int) -> Tensor:
        """Vectors of all users or items [n, D]."""
        device = next(self.parameters()).device
        return torch.cat([self(rows) for rows in torch.split(torch.arange(n, device=device), ROWS)])


class TwoTowerLesson(Lesson):
    """The towers and their batches.

    Args:
        train: events.
        user_tower: of users.
        item_tower: of items.
        objective: of pairs.
        minibatches: of the events.
        frequency: hears of every batch.
        mask_history: whether a user's other items are left out of the negatives.
        processes: that share each batch; each compares its rows with one another only.
    """

    users: Tensor
    items: Tensor
    ratings: Tensor | None

    def __init__(
        self,
        train: Interactions,
        user_tower: Tower,
        item_tower: Tower,
        objective: PairLoss,
        minibatches: Minibatches,
        frequency: StreamingFrequency,
        mask_history: bool,
        processes: Processes,
    ) -> None:
        super().__init__()
        self.n_users, self.n_items = train.n_users, train.n_items
        self.user_tower, self.item_tower, self.objective = user_tower, item_tower, objective
        self.minibatches, self.frequency, self.processes = minibatches, frequency, processes
        self.steps_per_epoch = minibatches.steps_per_epoch
        self.taken = Taken(Histories.of(train)) if mask_history else None
        ratings = None if train.ratings is None else torch.from_numpy(train.ratings)
        self.register_buffer("users", torch.from_numpy(train.users).long(), persistent=False)
        self.register_buffer("items", torch.from_numpy(train.items).long(), persistent=False)
        self.register_buffer("ratings", ratings, persistent=False)

    def loss(self, step: int) -> Tensor:
        """Mean loss over the batch of a step, or this process's part of it."""
        rows = self.minibatches.rows(step).to(self.items.device)
        self.frequency.observe(self.items[rows])
        own = rows[self.processes.rank :: self.processes.size]
        users, items = self.users[own], self.items[own]
        drawn = torch.randint(self.n_items, (self.objective.drawn,), device=items.device)
        both = torch.cat([items, drawn])
        event = Event(items, None if self.ratings is None else self.ratings[own])
        vectors = self.item_tower(items, event)
        if len(drawn):
            vectors = torch.cat([vectors, self.item_tower(drawn)])
        negative = ~self.taken(users, both) if self.taken is not None else items[:, None] != both
        pairs = Pairs(
            self.user_tower(users, event), vectors, self.frequency.log_q(both), negative, self.n_items
        )
        return self.objective(pairs) * (len(own) / len(rows))

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Of all users [n_users, D] and all items [N, D]."""
        return self.user_tower.everyone(self.n_users), self.item_tower.everyone(self.n_items)
