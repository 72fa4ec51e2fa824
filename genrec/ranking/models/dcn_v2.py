"""DCN v2 (Wang et al. 2021): cross layers with a matrix each, or with several of low rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from genrec.errors import ConfigError
from genrec.ranking.fields import Batch
from genrec.ranking.inputs import InputLayer
from genrec.ranking.layers import MatrixCross, MixtureCross, Mlp, check_layers
from genrec.ranking.models.base import RankModel, check_counts


class DcnV2(RankModel):
    """A linear layer over [cross(v), MLP(v)] (parallel), or over MLP(cross(v)) (stacked), §3.3.

    Args:
        inputs: the input layer.
        layers: cross layers.
        rank: of the low-rank mixture (§3.4); None crosses with full matrices.
        experts: of the mixture.
        structure: `parallel` or `stacked`.
        hidden: widths of the MLP.
        activation: one of `genrec.ranking.layers.ACTIVATIONS`.
        dropout: after every hidden layer.
    """

    def __init__(
        self,
        inputs: InputLayer,
        *,
        layers: int = 3,
        rank: int | None = None,
        experts: int = 4,
        structure: str = "parallel",
        hidden: Sequence[int] = (128, 64),
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(inputs)
        check_layers("DcnV2", hidden, activation, dropout)
        self.layers, self.rank, self.experts, self.structure = layers, rank, experts, structure
        self.hidden, self.activation, self.dropout = tuple(hidden), activation, dropout
        check_counts(self, "layers", "experts", *([] if rank is None else ["rank"]))
        if structure not in STRUCTURES:
            raise ConfigError(f"DcnV2.structure is {structure!r}; choose one of {', '.join(STRUCTURES)}")
        width = inputs.n_fields * inputs.width
        self.cross = (
            MatrixCross(width, layers) if rank is None else MixtureCross(width, layers, rank, experts)
        )
        self.deep = Mlp(width, hidden, None, activation=activation, dropout=dropout)
        self.out = nn.Linear(self.deep.width + (width if structure == "parallel" else 0), 1)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        x = STRUCTURES[self.structure](self.cross, self.deep, self.inputs.flat(batch))
        logits: Tensor = self.out(x)
        return logits.squeeze(1)


def _parallel(cross: nn.Module, deep: nn.Module, x: Tensor) -> Tensor:
    return torch.cat([cross(x), deep(x)], dim=1)


def _stacked(cross: nn.Module, deep: nn.Module, x: Tensor) -> Tensor:
    both: Tensor = deep(cross(x))
    return both


STRUCTURES: Mapping[str, Callable[[nn.Module, nn.Module, Tensor], Tensor]] = {
    "parallel": _parallel,
    "stacked": _stacked,
}
