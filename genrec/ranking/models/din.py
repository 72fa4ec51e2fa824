"""Deep Interest Network (Zhou et al. 2018): the history is summed up for each candidate anew."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genrec.ranking.fields import Batch, needed_sequence
from genrec.ranking.inputs import InputLayer
from genrec.ranking.layers import Mlp, TargetAttention, check_layers
from genrec.ranking.models.base import RankModel


class Din(RankModel):
    """An MLP over the features' vectors, in which target attention takes the place of the pooled history (fig. 2).

    Args:
        inputs: the input layer; its schema has a history that shares the candidate's table.
        hidden: widths of the MLP.
        attention: widths of the activation unit.
        activation: of both, one of `genrec.ranking.layers.ACTIVATIONS`.
        softmax: whether the weights over the history are normalised; the paper's are not.
        dropout: after every hidden layer of the MLP.
    """

    def __init__(
        self,
        inputs: InputLayer,
        *,
        hidden: Sequence[int] = (128, 64),
        attention: Sequence[int] = (36,),
        activation: str = "dice",
        softmax: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(inputs)
        check_layers("Din", hidden, activation, dropout)
        self.hidden, self.attention, self.activation = tuple(hidden), tuple(attention), activation
        self.softmax, self.dropout = softmax, dropout
        history, _ = needed_sequence(inputs.declared)
        self.others = tuple(field for field in inputs.declared if field is not history)
        self.interest = TargetAttention(inputs.width, attention, activation, softmax)
        self.deep = Mlp(inputs.n_fields * inputs.width, hidden, activation=activation, dropout=dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        history, mask, target = self.inputs.sequence(batch)
        interest = self.interest(history, mask, target)  # [B, D]
        others = [self.inputs.vectors(field, batch) for field in self.others]  # [B, D] each
        logits: Tensor = self.deep(torch.cat([interest, *others], dim=1))
        return logits.squeeze(1)
