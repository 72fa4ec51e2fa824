"""DeepFM (Guo et al. 2017): a factorisation machine and an MLP on the same vectors."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from genrec.ranking.fields import Batch
from genrec.ranking.inputs import InputLayer
from genrec.ranking.layers import Mlp, check_layers, pairwise_term
from genrec.ranking.models.base import RankModel


class DeepFm(RankModel):
    """y_FM + y_DNN (eq. 1): b + Σ w_i x_i + Σ_{i<j} <v_i, v_j> + MLP(v).

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
        check_layers("DeepFm", hidden, activation, dropout)
        self.hidden, self.activation, self.dropout = tuple(hidden), activation, dropout
        width = inputs.n_fields * inputs.width
        self.deep = Mlp(
            width, hidden, activation=activation, dropout=dropout, bias=False
        )  # the linear part has one

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        fields = self.inputs.fields(batch)  # [B, F, D]
        deep: Tensor = self.deep(fields.flatten(1))  # [B, 1]
        return self.inputs.linear(batch) + pairwise_term(fields) + deep.squeeze(1)
