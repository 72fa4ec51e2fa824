"""Progressive layered extraction (Tang et al. 2020): experts of each task beside shared ones, level upon level."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genrec.ranking.fields import Batch
from genrec.ranking.inputs import InputLayer
from genrec.ranking.layers import Experts, Gate, Mlp, check_layers
from genrec.ranking.models.base import MultiTask, check_counts


class Extraction(nn.Module):
    """One level (§4.1 and §4.2): a task mixes its own experts and the shared ones, the shared path mixes all.

    Args:
        tasks: how many.
        width: of what comes in.
        own: experts of each task.
        shared: experts of all.
        hidden: widths of an expert.
        activation: of the experts.
        dropout: of the experts.
        last: whether this is the last level, whose shared path nobody reads.
    """

    def __init__(
        self,
        tasks: int,
        width: int,
        own: int,
        shared: int,
        hidden: Sequence[int],
        activation: str,
        dropout: float,
        last: bool,
    ) -> None:
        super().__init__()
        self.own = nn.ModuleList(Experts(own, width, hidden, activation, dropout) for _ in range(tasks))
        self.shared = Experts(shared, width, hidden, activation, dropout)
        self.gates = nn.ModuleList(Gate(width, own + shared) for _ in range(tasks))
        self.shared_gate = None if last else Gate(width, tasks * own + shared)
        self.width = self.shared.width

    def forward(self, by_task: Sequence[Tensor], common: Tensor) -> tuple[list[Tensor], Tensor]:
        """What comes in by task [B, d] each and for all [B, d] -> the same, [B, H] each."""
        own = [experts(x) for experts, x in zip(self.own, by_task, strict=True)]  # [own, B, H] each
        shared = self.shared(common)  # [shared, B, H]
        mixed = [
            gate(x, torch.cat([outputs, shared]))
            for gate, x, outputs in zip(self.gates, by_task, own, strict=True)
        ]
        if self.shared_gate is None:
            return mixed, common
        return mixed, self.shared_gate(common, torch.cat([*own, shared]))


class Ple(MultiTask):
    """y_k = tower_k(the task's path after the last level) (eq. 5 to 7).

    Args:
        inputs: the input layer.
        tasks: names of the outputs, the one to rank by first.
        levels: of extraction; one is the paper's CGC.
        own: experts of each task in a level.
        shared: experts of all tasks in a level.
        hidden: widths of an expert.
        tower: widths of the hidden layers of a task's own network.
        activation: of experts and towers.
        dropout: after every hidden layer.
    """

    def __init__(
        self,
        inputs: InputLayer,
        *,
        tasks: Sequence[str] = ("like", "rating"),
        levels: int = 2,
        own: int = 2,
        shared: int = 2,
        hidden: Sequence[int] = (64,),
        tower: Sequence[int] = (32,),
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(inputs, tasks)
        check_layers("Ple", (*hidden, *tower), activation, dropout)
        self.levels, self.own, self.shared = levels, own, shared
        self.hidden, self.tower = tuple(hidden), tuple(tower)
        self.activation, self.dropout = activation, dropout
        check_counts(self, "levels", "own", "shared")
        width = inputs.n_fields * inputs.width
        self.extraction = nn.ModuleList()
        for level in range(levels):
            last = level == levels - 1
            one = Extraction(len(self.tasks), width, own, shared, hidden, activation, dropout, last)
            self.extraction.append(one)
            width = one.width
        self.towers = nn.ModuleList(
            Mlp(width, tower, activation=activation, dropout=dropout) for _ in self.tasks
        )

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B, tasks]."""
        common = self.inputs.flat(batch)  # [B, F D]
        by_task = [common] * len(self.tasks)
        for level in self.extraction:
            by_task, common = level(by_task, common)
        return self.stacked([tower(x) for tower, x in zip(self.towers, by_task, strict=True)])
