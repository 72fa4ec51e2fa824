"""A handful of fields of every form, a batch of them, and the input layer over both: no schema, no data."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from genrec.ranking.fields import Batch, Field
from genrec.ranking.inputs import InputLayer

USER = Field("user", "id", 7, "user")
ITEM = Field("item", "id", 9, "item")
GENRES = Field("genres", "bag", 5, "genres")
HISTORY = Field("history", "sequence", 9, "item")
YEAR = Field("year", "dense", 2, "year")


@dataclass(frozen=True)
class Fields:
    """What an input layer needs of a fitted schema."""

    fields: tuple[Field, ...] = (USER, ITEM, GENRES, HISTORY, YEAR)


def small_batch(rows: int = 6, seed: int = 0, dtype: torch.dtype = torch.float32) -> Batch:
    """Random rows; the first has an empty history and no genre."""
    generator = torch.Generator().manual_seed(seed)

    def ids(size: int, *shape: int) -> torch.Tensor:
        return torch.randint(size, shape, generator=generator)

    there = torch.rand(rows, 4, generator=generator) < 0.7
    liked = torch.rand(rows, 2, generator=generator) < 0.8
    there[0], liked[0] = False, False
    return {
        "user": ids(7, rows),
        "item": ids(9, rows),
        "genres": ids(5, rows, 2) * liked,
        "genres.mask": liked,
        "history": ids(9, rows, 4) * there,
        "history.mask": there,
        "year": torch.randn(rows, 2, generator=generator, dtype=dtype),
    }


def small_inputs(width: int = 3, seed: int = 0) -> InputLayer:
    """With weights that are nowhere zero."""
    torch.manual_seed(seed)
    layer = InputLayer(Fields(), width, dropout_to_oov=0.0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0.0, 0.5)
    return layer
