"""An MLP over the features' vectors: the deep half of Wide & Deep alone (Cheng et al. 2016; Covington et al. 2016)."""

from __future__ import annotations

from torch import Tensor

from genrec.ranking.fields import Batch
from genrec.ranking.models.base import MlpModel


class Deep(MlpModel):
    """MLP(v)."""

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        logits: Tensor = self.deep(self.inputs.flat(batch))  # [B, F D] -> [B, 1]
        return logits.squeeze(1)
