"""Wide & Deep (Cheng et al. 2016): a linear model that memorises beside an MLP that generalises."""

from __future__ import annotations

from torch import Tensor

from genrec.ranking.fields import Batch
from genrec.ranking.models.base import MlpModel


class WideDeep(MlpModel):
    """b + Σ w_i x_i + MLP(v) (eq. 3); the wide part reads every feature, each by its first-order weight."""

    bias = False

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        deep: Tensor = self.deep(self.inputs.flat(batch))  # [B, F D] -> [B, 1]
        return self.inputs.linear(batch) + deep.squeeze(1)
