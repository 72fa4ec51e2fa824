"""What every rank model is, and how it is found by name."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

import genrec.ranking.models
from genrec.errors import ConfigError
from genrec.ranking.fields import Batch
from genrec.ranking.inputs import InputLayer
from genrec.ranking.layers import Mlp, check_layers
from genrec.ranking.losses import MAIN


class RankModel(nn.Module):
    """Base of rank models: a batch of features in, logits out.

    A subclass takes the input layer and keyword arguments, and keeps each of these under its own name.

    Args:
        inputs: what turns features into fields, vectors and first-order terms.

    Attributes:
        tasks: names of the outputs; the first is the one to rank by.
    """

    tasks: tuple[str, ...] = (MAIN,)

    def __init__(self, inputs: InputLayer) -> None:
        super().__init__()
        self.inputs = inputs

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B], or [B, tasks] of a model with several tasks."""
        raise NotImplementedError

    def scores(self, batch: Batch) -> Tensor:
        """Logits [B] of the task to rank by."""
        logits: Tensor = self(batch)
        return logits if logits.dim() == 1 else logits[:, 0]

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments beside the input layer, by name, to make the model again."""
        names = [name for name in inspect.signature(type(self)).parameters if name != "inputs"]
        return {name: getattr(self, name) for name in names}


class MlpModel(RankModel):
    """Base of models with an MLP over the vectors of all features, `deep`: [B, F D] -> [B, 1].

    Args:
        inputs: the input layer.
        hidden: widths of the hidden layers.
        activation: one of `genrec.ranking.layers.ACTIVATIONS`.
        dropout: after every hidden layer.
    """

    bias: ClassVar[bool] = True  # of the MLP's output; False beside a linear part, which has one

    def __init__(
        self,
        inputs: InputLayer,
        *,
        hidden: Sequence[int] = (128, 64),
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(inputs)
        check_layers(type(self).__name__, hidden, activation, dropout)
        self.hidden, self.activation, self.dropout = tuple(hidden), activation, dropout
        width = inputs.n_fields * inputs.width
        self.deep = Mlp(width, hidden, activation=activation, dropout=dropout, bias=self.bias)


class MultiTask(RankModel):
    """Base of models with several outputs.

    Args:
        inputs: the input layer.
        tasks: their names, the one to rank by first.
    """

    def __init__(self, inputs: InputLayer, tasks: Sequence[str]) -> None:
        super().__init__(inputs)
        self.tasks = tuple(tasks)
        owner = type(self).__name__
        if len(set(self.tasks)) != len(self.tasks) or self.tasks[:1] != (MAIN,):
            raise ConfigError(f"{owner}.tasks must be distinct names, {MAIN!r} first, got {list(tasks)}")

    def stacked(self, outputs: Sequence[Tensor]) -> Tensor:
        """One output [B, 1] per task -> [B, tasks]."""
        return torch.cat(list(outputs), dim=1)


def rank_models() -> dict[str, type[RankModel]]:
    """Every model in `genrec/ranking/models/` by the name of its file."""
    found = {}
    for module in pkgutil.iter_modules(genrec.ranking.models.__path__, "genrec.ranking.models."):
        for value in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(value) and issubclass(value, RankModel) and value.__module__ == module.name:
                found[module.name.rpartition(".")[2]] = value
    del found["base"]
    return found


def rank_model_name(model: RankModel) -> str:
    """The name under which a model is stored.

    Raises:
        ConfigError: it could not be found again.
    """
    for name, kind in rank_models().items():
        if type(model) is kind:
            return name
    raise ConfigError(
        f"train.network is {type(model).__name__}, which is no model of genrec/ranking/models; put its file there"
    )


def check_counts(model: RankModel, *names: str) -> None:
    """ConfigError, naming the argument, unless these arguments of a model are at least 1."""
    for name in names:
        if getattr(model, name) < 1:
            raise ConfigError(f"{type(model).__name__}.{name} must be at least 1, got {getattr(model, name)}")
