"""DeepFM (Guo et al. 2017): a factorisation machine and an MLP on the same vectors."""

from __future__ import annotations

from torch import Tensor

from genrec.ranking.fields import Batch
from genrec.ranking.layers import pairwise_term
from genrec.ranking.models.base import MlpModel


class DeepFm(MlpModel):
    """y_FM + y_DNN (eq. 1): b + Σ w_i x_i + Σ_{i<j} <v_i, v_j> + MLP(v)."""

    bias = False

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        fields = self.inputs.fields(batch)  # [B, F, D]
        deep: Tensor = self.deep(fields.flatten(1))  # [B, 1]
        return self.inputs.linear(batch) + pairwise_term(fields) + deep.squeeze(1)
