"""YouTube's candidate generation: the user is a network over the mean of the last items."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from genrec.data.histories import Histories
from genrec.data.tables import NO_TIMESTAMP, Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.generative.dropout import Dropout
from genrec.generative.softmax import exact
from genrec.recall.losses import sampled_softmax
from genrec.recall.minibatches import Minibatches
from genrec.recall.neural import Lesson, NeuralRecaller, Training
from genrec.recall.samplers import Draws, Empirical, Sampler
from genrec.recall.side_inputs import genre_table
from genrec.recall.vector_index import VectorIndex
from genrec.training.processes import Processes

ROWS = 4096
"""Users whose vectors are computed at once after training."""

Age = Literal["training", "history", "none"]


class YoutubeDnn(NeuralRecaller):
    """Deep candidate generation (Covington et al. 2016, section 3): every event is predicted from those before it.

    The input is the mean of the vectors of the last items, the share of their genres, how many they are, and the age
    of the example, which is what lets the model tell that taste moved on: it is 0 where users are served. The output
    is a softmax over all items, estimated from a sample that a batch shares, with logQ correction.

    Args:
        width: D, of the vectors.
        hidden: widths of the hidden layers.
        max_length: T, last items that are read.
        genres: whether their genres are, too.
        age: of an example: time from it until the end of the `training` data, as in the paper; until the end of its
            own `history`, for protocols that serve each user right after it; or `none`. Events without a time are
            as old as the oldest; without any, there is no age.
        tied: whether items have the same vectors in a history and as candidates.
        sampler: distribution of the negatives; `Empirical` if not given.
        sampled: negatives per batch.
        dropout: on the input and after each hidden layer.
        examples: per batch.
        training: epochs, learning rate, optimiser, device.
        index: finds items instead of the exact product.
        batch_size: users scored at once.

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        hidden: Sequence[int] = (128,),
        max_length: int = 50,
        genres: bool = True,
        age: Age = "training",
        tied: bool = True,
        sampler: Sampler | None = None,
        sampled: int = 1024,
        dropout: float = 0.2,
        examples: int = 1024,
        training: Training | None = None,
        index: VectorIndex | None = None,
        batch_size: int = 256,
    ) -> None:
        super().__init__(training=training, index=index, batch_size=batch_size)
        self.width, self.hidden, self.max_length, self.genres = width, tuple(hidden), max_length, genres
        self.age, self.tied, self.sampler, self.sampled = age, tied, sampler or Empirical(), sampled
        self.dropout, self.examples = dropout, examples
        for name in ("width", "max_length", "sampled", "examples"):
            if getattr(self, name) < 1:
                raise ConfigError(f"YoutubeDnn.{name} must be at least 1, got {getattr(self, name)}")
        if min(self.hidden, default=1) < 1:
            raise ConfigError(f"YoutubeDnn.hidden must be widths of at least 1, got {list(self.hidden)}")
        if age not in AGES:
            raise ConfigError(f"YoutubeDnn.age must be one of {', '.join(AGES)}, got {age!r}")
        if not 0 <= dropout < 1:
            raise ConfigError(f"YoutubeDnn.dropout must be in [0, 1), got {dropout}")

    def _lesson(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> Lesson:
        genres = genre_table(items) if self.genres else np.zeros((train.n_items, 0), dtype=bool)
        ages = AGES[self.age](train)
        extra = genres.shape[1] + 1 + (0 if ages is None else 3)
        runtime = self.training.runtime
        return YoutubeLesson(
            Histories.of(train),
            genres,
            ages,
            self._network(self.width + extra),
            (self.width, self.max_length, self.sampled),
            self.tied,
            Draws(self.sampler.probabilities(train.item_counts())),
            Minibatches(len(train), self.examples, runtime.seed),
            runtime.processes,
        )

    def _network(self, width: int) -> nn.Sequential:
        layers: list[nn.Module] = [Dropout(self.dropout)]
        for narrow, wide in pairwise([width, *self.hidden]):
            layers += [nn.Linear(narrow, wide), nn.ReLU(), Dropout(self.dropout)]
        return nn.Sequential(*layers, nn.Linear(self.hidden[-1] if self.hidden else width, self.width))


def since_training(train: Interactions) -> NDArray[np.float32] | None:
    """Age [E] from 0, the newest event of all, to 1, the oldest; None without times."""
    times = _times(train)
    if times is None:
        return None
    return _scaled(times.max() - times)


def since_history(train: Interactions) -> NDArray[np.float32] | None:
    """Age [E] from 0, the newest event of its user, to 1, the oldest such age of all; None without times."""
    times = _times(train)
    if times is None:
        return None
    newest = np.full(train.n_users, times.min())
    np.maximum.at(newest, train.users, times)
    return _scaled(newest[train.users] - times)


AGES: Mapping[str, Callable[[Interactions], NDArray[np.float32] | None]] = {
    "training": since_training,
    "history": since_history,
    "none": lambda train: None,
}
"""How old training examples are, by name."""


def _times(train: Interactions) -> NDArray[np.int64] | None:
    if train.timestamps is None or (train.timestamps == NO_TIMESTAMP).all():
        return None
    known = train.timestamps[train.timestamps != NO_TIMESTAMP]
    return np.where(train.timestamps == NO_TIMESTAMP, known.min(), train.timestamps)


def _scaled(age: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.asarray(age / max(float(age.max()), 1.0), dtype=np.float32)


class YoutubeLesson(Lesson):
    """The network and its batches.

    Args:
        histories: of training.
        genres: bool [N, G].
        ages: of the events, float [E], or None.
        network: from the input to D columns.
        sizes: (D, T, negatives per batch).
        tied: whether one table of item vectors serves for both sides.
        draws: of negatives.
        minibatches: of the events.
        processes: that share each batch.
    """

    items: Tensor
    users: Tensor
    offsets: Tensor
    ages: Tensor | None
    shares: Tensor

    def __init__(
        self,
        histories: Histories,
        genres: NDArray[np.bool_],
        ages: NDArray[np.float32] | None,
        network: nn.Sequential,
        sizes: tuple[int, int, int],
        tied: bool,
        draws: Draws,
        minibatches: Minibatches,
        processes: Processes,
    ) -> None:
        super().__init__()
        self.n_items, self.n_users = histories.n_items, histories.n_users
        width, self.max_length, self.sampled = sizes
        self.network, self.draws = network, draws
        self.minibatches, self.processes = minibatches, processes
        self.steps_per_epoch = minibatches.steps_per_epoch
        self.read = nn.Embedding(self.n_items + 1, width, padding_idx=self.n_items)  # the last row is padding
        nn.init.normal_(self.read.weight, std=0.1)
        self.table = self.read if tied else nn.Embedding(self.n_items, width)
        users = np.repeat(np.arange(self.n_users), histories.lengths)
        shares = genres / np.maximum(genres.sum(axis=1, keepdims=True), 1)
        buffers = {
            "items": torch.from_numpy(histories.items.astype(np.int64)),
            "users": torch.from_numpy(users),
            "offsets": torch.from_numpy(histories.offsets),
            "ages": None if ages is None else torch.from_numpy(ages),
            "shares": F.pad(torch.from_numpy(shares).float(), (0, 0, 0, 1)),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)

    def states(self, stops: Tensor, users: Tensor, ages: Tensor) -> Tensor:
        """Users int64 [B] before their events int64 [B], which are of ages [B] -> vectors [B, D]."""
        starts = self.offsets[users]
        places = stops[:, None] - 1 - torch.arange(self.max_length, device=stops.device)  # newest first
        real = places >= starts[:, None]
        history = torch.where(real, self.items[places.clamp_min(0)], self.n_items)  # [B, T]
        parts = [
            self._mean(history, self.read.weight),
            self._mean(history, self.shares),
            (stops - starts).add(1).log()[:, None] / 8,  # about 1 for long histories
        ]
        if self.ages is not None:
            parts.append(torch.stack([ages, ages**2, ages.sqrt()], dim=1))
        return self.network(torch.cat(parts, dim=1))  # type: ignore[no-any-return]

    def loss(self, step: int) -> Tensor:
        """Mean loss over the batch of a step, or this process's part of it."""
        rows = self.minibatches.rows(step)
        events = rows[self.processes.rank :: self.processes.size].to(self.items.device)
        states = self.states(events, self.users[events], self._ages(events))
        targets, drawn = self.items[events], self.draws(self.sampled)
        own = (states * self.table(targets)).sum(1) - self.draws.log_q[targets]
        others = states @ self.table(drawn).T - self.draws.log_q[drawn]
        loss = sampled_softmax(exact(own), exact(others), targets[:, None] != drawn)
        return loss * (len(events) / len(rows))

    def vectors(self) -> tuple[Tensor, Tensor]:
        """After the whole histories, at age 0, [n_users, D], and of all items [N, D]."""
        blocks = torch.split(torch.arange(self.n_users, device=self.items.device), ROWS)
        states = [
            self.states(self.offsets[some + 1], some, torch.zeros_like(some).float()) for some in blocks
        ]
        return torch.cat(states), self.table.weight[: self.n_items]

    def _ages(self, events: Tensor) -> Tensor:
        return torch.zeros_like(events).float() if self.ages is None else self.ages[events]

    @staticmethod
    def _mean(history: Tensor, table: Tensor) -> Tensor:
        """Mean over a history [B, T], padded with the last row of the table [N + 1, F] -> [B, F]; zero if empty."""
        return F.embedding_bag(history, table, mode="mean", padding_idx=len(table) - 1)
