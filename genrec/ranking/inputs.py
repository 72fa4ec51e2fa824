"""The input layer of every ranking model: a batch of features becomes fields of one width."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from genrec.errors import ConfigError
from genrec.ranking.fields import OUT_OF_VOCABULARY, Batch, Field, HasFields, mask_name, needed_sequence


class InputLayer(nn.Module):
    """Embedding tables and projections, made from a fitted schema.

    Every field becomes a vector of the common width D: ids by their embedding (projected, where the feature has a
    width of its own), several ids by a pooled embedding, numbers by a learned vector each, which they multiply, and a
    learned vector that stands alone where the value is unknown. First-order weights, one per id and number, are kept
    apart, for the linear part of LR, FM and Wide & Deep. Fields with one vocabulary share one table.

    Ids that were not met in training have the id 0. That its vector means something, a small share of all
    ids is replaced by it during training; fields that share another's table leave that to its owner.

    Args:
        schema: a fitted schema.
        width: D.
        dropout_to_oov: probability of that replacement.
        init_std: deviation of the embeddings' first values.

    Attributes:
        names: of the fields, in order.
        n_fields: F.
        width: D.
    """

    def __init__(
        self, schema: HasFields, width: int, *, dropout_to_oov: float = 0.01, init_std: float = 0.01
    ) -> None:
        super().__init__()
        if width < 1:
            raise ConfigError(f"InputLayer.width must be at least 1, got {width}")
        if not 0 <= dropout_to_oov < 1:
            raise ConfigError(
                f"InputLayer.dropout_to_oov must be at least 0 and below 1, got {dropout_to_oov}"
            )
        if not init_std > 0:
            raise ConfigError(f"InputLayer.init_std must be above 0, got {init_std}")
        if not schema.fields:
            raise ConfigError("Schema.features is empty; declare at least one feature")
        self.declared = tuple(schema.fields)
        self.names = tuple(field.name for field in self.declared)
        self.n_fields = len(self.declared)
        self.width = width
        self.vectors = _Weights(self.declared, width, dropout_to_oov)
        self.first_order = _Weights(self.declared, 1, dropout_to_oov)
        self.bias = nn.Parameter(torch.zeros(()))
        self.vectors.initialise(init_std)
        self.first_order.initialise(0.0)

    def fields(self, batch: Batch) -> Tensor:
        """[B, F, D], in the order of `names`."""
        return torch.stack([self.vectors(field, batch) for field in self.declared], dim=1)

    def flat(self, batch: Batch) -> Tensor:
        """[B, F * D], the fields side by side."""
        return self.fields(batch).flatten(1)

    def linear(self, batch: Batch) -> Tensor:
        """First-order logits [B]: the sum of the weights of all ids and numbers, and a bias."""
        terms = [self.first_order(field, batch) for field in self.declared]
        return torch.cat(terms, dim=1).sum(dim=1) + self.bias

    def sequence(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The history item by item, for target attention.

        Returns:
            (history [B, T, D], oldest first; mask bool [B, T], true where there is an item; target [B, D], the
            candidate from the same table).

        Raises:
            ConfigError: the schema has no history that shares the candidate's table.
        """
        history, target = needed_sequence(self.declared)
        items = self.vectors.embedded(history, batch[history.name])
        return items, batch[mask_name(history.name)], self.vectors(target, batch)


class _Weights(nn.Module):
    """For vectors of one width: a table per vocabulary, a projection where widths differ, a map per dense field."""

    def __init__(self, fields: tuple[Field, ...], width: int, dropout_to_oov: float) -> None:
        super().__init__()
        self.tables = nn.ModuleDict()
        self.projections = nn.ModuleDict()
        self.maps = nn.ModuleDict()
        self.dropout_to_oov = dropout_to_oov
        for field in fields:
            if field.form == "dense":
                self.maps[_key(field.name)] = nn.Linear(field.size, width)
            elif field.table == field.name:
                own = width if width == 1 or field.width is None else field.width
                self.tables[_key(field.name)] = nn.Embedding(field.size, own)
                if own != width:
                    self.projections[_key(field.name)] = nn.Linear(own, width, bias=False)

    @torch.no_grad()
    def initialise(self, std: float) -> None:
        """Embeddings normal with a deviation; maps of dense fields stay as they come, or become 0 where it is 0."""
        for table in self.tables.values():
            assert isinstance(table, nn.Embedding)
            table.weight.normal_(0.0, std) if std else table.weight.zero_()
        if not std:
            for parameter in self.maps.parameters():
                parameter.zero_()

    def forward(self, field: Field, batch: Batch) -> Tensor:
        """[B, width]."""
        return _FORMS[field.form](self, field, batch)

    def embedded(self, field: Field, ids: Tensor) -> Tensor:
        """Vectors of ids [...] -> [..., width]."""
        return self.projected(field, functional.embedding(ids, self.weight(field)))

    def weight(self, field: Field) -> Tensor:
        """The table of a field [size, own width]."""
        table = self.tables[_key(field.table)]
        assert isinstance(table, nn.Embedding)
        return table.weight

    def projected(self, field: Field, vectors: Tensor) -> Tensor:
        """[..., own width] -> [..., width]."""
        key = _key(field.table)
        return self.projections[key](vectors) if key in self.projections else vectors

    def seen(self, field: Field, batch: Batch) -> Tensor:
        """The ids of a field, in training with some of them out of the vocabulary."""
        ids = batch[field.name]
        if not (self.training and self.dropout_to_oov and field.table == field.name):
            return ids
        dropped = torch.rand(ids.shape, device=ids.device) < self.dropout_to_oov
        return ids.masked_fill(dropped, OUT_OF_VOCABULARY)


def _key(name: str) -> str:
    """A name that no attribute of ModuleDict has (`items`, `type`)."""
    return f"of_{name}"


def _one(weights: _Weights, field: Field, batch: Batch) -> Tensor:
    return weights.embedded(field, weights.seen(field, batch))


def _several(weights: _Weights, field: Field, batch: Batch) -> Tensor:
    mask = batch[mask_name(field.name)]
    return weights.projected(
        field, _POOLINGS[field.pooling](weights.weight(field), weights.seen(field, batch), mask)
    )


def _dense(weights: _Weights, field: Field, batch: Batch) -> Tensor:
    mapped: Tensor = weights.maps[_key(field.name)](batch[field.name])
    return mapped


_FORMS: Mapping[str, Callable[[_Weights, Field, Batch], Tensor]] = {
    "id": _one,
    "bag": _several,
    "sequence": _several,
    "dense": _dense,
}


def _sum(table: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """[B, D]; without ids it is 0, as for every pooling."""
    return functional.embedding_bag(ids, table, mode="sum", per_sample_weights=mask.to(table.dtype))


def _mean(table: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    share = mask.to(table.dtype) / mask.sum(dim=1, keepdim=True).clamp(min=1)
    return functional.embedding_bag(ids, table, mode="sum", per_sample_weights=share)


def _max(table: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    vectors = functional.embedding(ids, table).masked_fill(~mask[:, :, None], -torch.inf)
    return vectors.amax(dim=1).masked_fill(~mask.any(dim=1, keepdim=True), 0.0)


_POOLINGS: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "mean": _mean,
    "sum": _sum,
    "max": _max,
}
