"""Deep & Cross Network (Wang et al. 2017): cross layers with one vector each, beside an MLP."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genrec.ranking.fields import Batch
from genrec.ranking.inputs import InputLayer
from genrec.ranking.layers import Mlp, VectorCross, check_layers
from genrec.ranking.models.base import RankModel, check_counts


class Dcn(RankModel):
    """A linear layer over [cross(v), MLP(v)] (eq. 5).

    Args:
        inputs: the input layer.
        layers: cross layers.
        hidden: widths of the MLP.
        activation: one of `genrec.ranking.layers.ACTIVATIONS`.
        dropout: after every hidden layer.
    """

    def __init__(
        self,
        inputs: InputLayer,
        *,
        layers: int = 3,
        hidden: Sequence[int] = (128, 64),
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(inputs)
        check_layers("Dcn", hidden, activation, dropout)
        self.layers, self.hidden, self.activation, self.dropout = layers, tuple(hidden), activation, dropout
        check_counts(self, "layers")
        width = inputs.n_fields * inputs.width
        self.cross = VectorCross(width, layers)
        self.deep = Mlp(width, hidden, None, activation=activation, dropout=dropout)
        self.out = nn.Linear(width + self.deep.width, 1)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        x = self.inputs.flat(batch)  # [B, F D]
        logits: Tensor = self.out(torch.cat([self.cross(x), self.deep(x)], dim=1))
        return logits.squeeze(1)
