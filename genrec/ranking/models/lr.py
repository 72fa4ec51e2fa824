"""Logistic regression: first-order weights only (Richardson et al. 2007, "Predicting clicks")."""

from __future__ import annotations

from torch import Tensor

from genrec.ranking.fields import Batch
from genrec.ranking.models.base import RankModel


class Lr(RankModel):
    """b + Σ w_i x_i.

    Args:
        inputs: the input layer.
    """

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        return self.inputs.linear(batch)
