"""An MLP over the features' vectors: the deep half of Wide & Deep alone (Cheng et al. 2016; Covington et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from genrec.ranking.fields import Batch
from genrec.ranking.inputs import InputLayer
from genrec.ranking.layers import Mlp, check_layers
from genrec.ranking.models.base import RankModel


class Deep(RankModel):
    """MLP(v).

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
        check_layers("Deep", hidden, activation, dropout)
        self.hidden, self.activation, self.dropout = tuple(hidden), activation, dropout
        self.deep = Mlp(inputs.n_fields * inputs.width, hidden, activation=activation, dropout=dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        logits: Tensor = self.deep(self.inputs.flat(batch))  # [B, F D] -> [B, 1]
        return logits.squeeze(1)
