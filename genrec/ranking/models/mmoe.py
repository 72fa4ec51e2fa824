"""Multi-gate mixture of experts (Ma et al. 2018): tasks share experts, and each mixes them by a gate of its own."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from genrec.ranking.fields import Batch
from genrec.ranking.inputs import InputLayer
from genrec.ranking.layers import Experts, Gate, Mlp, check_layers
from genrec.ranking.models.base import MultiTask, check_counts


class Mmoe(MultiTask):
    """y_k = h_k(Σ_i g_k(x)_i f_i(x)) (eq. 6 and 7).

    Args:
        inputs: the input layer.
        tasks: names of the outputs, the one to rank by first.
        experts: how many.
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
        experts: int = 4,
        hidden: Sequence[int] = (128, 64),
        tower: Sequence[int] = (32,),
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(inputs, tasks)
        check_layers("Mmoe", (*hidden, *tower), activation, dropout)
        self.experts, self.hidden, self.tower = experts, tuple(hidden), tuple(tower)
        self.activation, self.dropout = activation, dropout
        check_counts(self, "experts")
        width = inputs.n_fields * inputs.width
        self.shared = Experts(experts, width, hidden, activation, dropout)
        self.gates = nn.ModuleList(Gate(width, experts) for _ in self.tasks)
        self.towers = nn.ModuleList(
            Mlp(self.shared.width, tower, activation=activation, dropout=dropout) for _ in self.tasks
        )

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B, tasks]."""
        x = self.inputs.flat(batch)  # [B, F D]
        outputs = self.shared(x)  # [E, B, H]
        mixed = [gate(x, outputs) for gate in self.gates]  # [B, H] each
        return self.stacked([tower(one) for tower, one in zip(self.towers, mixed, strict=True)])
