"""Factorisation machine (Rendle 2010): first order, and every pair of features by the product of two vectors."""

from __future__ import annotations

from torch import Tensor

from genrec.ranking.fields import Batch
from genrec.ranking.layers import pairwise_term
from genrec.ranking.models.base import RankModel


class Fm(RankModel):
    """b + Σ w_i x_i + Σ_{i<j} <v_i, v_j> x_i x_j (eq. 1).

    Args:
        inputs: the input layer.
    """

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        return self.inputs.linear(batch) + pairwise_term(self.inputs.fields(batch))
