"""SASRec: a causal transformer over the history, whose last state is the user."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from genrec.data.histories import Histories
from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.generative.batches import OVERLAP, BatchPlan, newest
from genrec.generative.transformer import HistoryEncoder
from genrec.recall.neural import Lesson, NeuralRecaller, Training
from genrec.recall.sequence_losses import FullSoftmax, SequenceLoss
from genrec.recall.vector_index import VectorIndex
from genrec.training.processes import Processes

USERS = 256
"""Users, of like length, whose vectors are computed at once."""


class Sasrec(NeuralRecaller):
    """Self-attentive sequential recommendation (Kang & McAuley 2018): every position predicts the next item.

    Learned positions, pre-norm blocks, and one table of item vectors for input and output, as in the paper; GELU,
    a feed-forward of four times the width, and a learned start vector, from which the first item is predicted, are
    of today. A user's vector is the state after the last item of the history.

    Args:
        loss: full cross-entropy if not given.
        width: D, of item vectors and states.
        layers: transformer blocks.
        heads: of attention; divides `width`.
        max_length: longest history it reads; longer ones are cut into windows for training.
        dropout: on embeddings and residual branches.
        batch_tokens: events per batch, padding included.
        batch_windows: most windows of histories per batch.
        training: epochs, learning rate, optimiser, device.
        index: finds items instead of the exact product.
        batch_size: users scored at once.

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(
        self,
        *,
        loss: SequenceLoss | None = None,
        width: int = 128,
        layers: int = 2,
        heads: int = 2,
        max_length: int = 200,
        dropout: float = 0.2,
        batch_tokens: int = 4096,
        batch_windows: int = 256,
        training: Training | None = None,
        index: VectorIndex | None = None,
        batch_size: int = 256,
    ) -> None:
        super().__init__(training=training, index=index, batch_size=batch_size)
        self.loss = loss or FullSoftmax()
        self.width, self.layers, self.heads, self.max_length = width, layers, heads, max_length
        self.dropout, self.batch_tokens, self.batch_windows = dropout, batch_tokens, batch_windows
        for name in ("width", "layers", "heads", "batch_windows"):
            if getattr(self, name) < 1:
                raise ConfigError(f"Sasrec.{name} must be at least 1, got {getattr(self, name)}")
        if width % heads:
            raise ConfigError(f"Sasrec.heads ({heads}) must divide Sasrec.width ({width})")
        if max_length < OVERLAP:
            raise ConfigError(f"Sasrec.max_length must be at least {OVERLAP}, got {max_length}")
        if not 0 <= dropout < 1:
            raise ConfigError(f"Sasrec.dropout must be in [0, 1), got {dropout}")
        if batch_tokens <= max_length:
            raise ConfigError(
                f"Sasrec.batch_tokens ({batch_tokens}) must be above Sasrec.max_length ({max_length}), so that the "
                "longest history and its target fit into a batch"
            )

    def _lesson(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> Lesson:
        runtime, histories = self.training.runtime, Histories.of(train)
        plan = BatchPlan(
            histories,
            max_length=self.max_length,
            tokens=self.batch_tokens,
            rows=self.batch_windows,
            seed=runtime.seed,
        )
        trunk = HistoryEncoder(self.width, self.heads, self.layers, self.max_length, self.dropout)
        return SasrecLesson(plan, trunk, self.loss, self.max_length, runtime.processes)


class SasrecLesson(Lesson):
    """The network and its batches: windows of like length, in which only real positions meet the loss.

    Args:
        plan: batches of windows of the training histories.
        trunk: the transformer.
        objective: of states, targets and item vectors.
        max_length: longest history to read.
        processes: that share each batch.
    """

    def __init__(
        self,
        plan: BatchPlan,
        trunk: HistoryEncoder,
        objective: SequenceLoss,
        max_length: int,
        processes: Processes,
    ) -> None:
        super().__init__()
        self.plan, self.objective, self.max_length, self.processes = plan, objective, max_length, processes
        self.steps_per_epoch = plan.steps_per_epoch
        self.trunk = trunk
        self.table = nn.Embedding(plan.histories.n_items, len(trunk.start))
        nn.init.normal_(self.table.weight, std=0.02)

    def states(self, items: Tensor) -> Tensor:
        """Histories int64 [B, T], padded at the end with -1 -> states [B, T + 1, D]; state t has read t items."""
        return self.trunk(self.table(items.clamp_min(0)))  # type: ignore[no-any-return]

    def loss(self, step: int) -> Tensor:
        """Mean loss over the batch of a step, or this process's part of it."""
        window, first, share = self.plan.part(step, self.processes.rank, self.processes.size)
        device = self.table.weight.device
        items, first = window.items.to(device), first.to(device)
        real = (items >= 0) & (torch.arange(items.shape[1], device=device) >= first[:, None])
        states = self.states(items[:, :-1])[real]  # [M, D]; the last item is followed by nothing
        return self.objective(states, items[real], self.table.weight) * share

    def vectors(self) -> tuple[Tensor, Tensor]:
        """The states after the histories [n_users, D], and the table [N, D]."""
        histories, table = self.plan.histories, self.table.weight
        by_length = np.argsort(np.minimum(histories.lengths, self.max_length), kind="stable")
        users = table.new_empty(len(by_length), table.shape[1])
        for start in range(0, len(by_length), USERS):
            some = by_length[start : start + USERS]
            items = newest(histories, some, self.max_length).items.to(table.device)
            last = (items >= 0).sum(1)
            states = self.states(items)[torch.arange(len(some), device=table.device), last]
            users[torch.from_numpy(some).to(table.device)] = states.to(users.dtype)
        return users, table.detach()
