"""Wide & Deep (Cheng et al. 2016): a linear model that memorises beside an MLP that generalises."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from genrec.ranking.fields import Batch
from genrec.ranking.inputs import InputLayer
from genrec.ranking.layers import Mlp, check_layers
from genrec.ranking.models.base import RankModel


class WideDeep(RankModel):
    """b + Σ w_i x_i + MLP(v) (eq. 3); the wide part reads every feature, each by its first-order weight.

    Args:
        inputs: the input layer.
        hidden: widths of the hidden layers.
        activation: one of `genrec.ranking.layers.ACTIVATIONS`.
        dropout: after every hidden layer.
    """

    def __init__(
        self,
        inputs: InputLayer,
        *,
        hidden: Sequence[int] = (128, 64),
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(inputs)
        check_layers("WideDeep", hidden, activation, dropout)
        self.hidden, self.activation, self.dropout = tuple(hidden), activation, dropout
        width = inputs.n_fields * inputs.width
        self.deep = Mlp(
            width, hidden, activation=activation, dropout=dropout, bias=False
        )  # the wide part has one

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        deep: Tensor = self.deep(self.inputs.flat(batch))  # [B, F D] -> [B, 1]
        return self.inputs.linear(batch) + deep.squeeze(1)
