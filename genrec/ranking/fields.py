"""What a model is told of a feature, and the batch it reads: the contract of schema and input layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from torch import Tensor

from genrec.errors import ConfigError

OUT_OF_VOCABULARY = 0
"""The id of every value that was not met in training."""

Batch: TypeAlias = dict[str, Tensor]
"""Tensors of R rows by field name.

    form `id`                  int64 [R]
    form `bag` and `sequence`  int64 [R, M], and under `mask_name(field)` bool [R, M], true where there is an id
    form `dense`               float32 [R, d], the last column 1 where the value is known and 0 where it is not
"""

Form = Literal["id", "bag", "sequence", "dense"]
Pooling = Literal["mean", "sum", "max"]


@dataclass(frozen=True)
class Field:
    """One field of a model's input; most features are one field, a semantic id is one per level.

    Attributes:
        name: key in the batch.
        form: how the batch has it.
        size: ids, that of values out of the vocabulary included; columns of a dense field.
        table: the field whose embedding table is read: its own name, or that of another with the same vocabulary.
        width: of the embedding table; None is the width of the layer.
        pooling: of a bag or a sequence into one vector.
    """

    name: str
    form: Form
    size: int
    table: str
    width: int | None = None
    pooling: Pooling = "mean"


class HasFields(Protocol):
    """A fitted schema, as far as a model needs it."""

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields, in the order in which they were declared."""
        ...


def mask_name(field: str) -> str:
    """Key of a field's mask in the batch."""
    return f"{field}.mask"


def needed_sequence(fields: tuple[Field, ...]) -> tuple[Field, Field]:
    """The first sequence that shares the table of a field of one id per row, and that field: history and target.

    Raises:
        ConfigError: there is none.
    """
    by_name = {field.name: field for field in fields}
    for field in fields:
        target = by_name.get(field.table)
        if field.form == "sequence" and target is not None and target.form == "id":
            return field, target
    raise ConfigError(
        "the model compares the history with the candidate, and the schema has no such history; add to "
        "Schema.features the entries 'item': {'kind': 'categorical', 'source': 'item'} and "
        "'history': {'kind': 'sequence', 'source': 'history', 'shares': 'item'}"
    )
