"""Reading the item table's columns the way encoders need them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genrec.data.tables import ItemTable
from genrec.errors import ConfigError, DataError

TEXT_FIELDS = ("title", "year", "genres", "text")
"""What a document is made of unless told otherwise, in this order."""

_YEAR_IN_TITLE = re.compile(r"\s*\(\d{4}\)\s*$")


def column(items: ItemTable, name: str) -> pd.Series:
    """A column of the item table, numbered 0..N-1; DataError if it is missing."""
    if name not in items.frame:
        raise DataError(
            f"items: column {name} is missing (columns are {list(items.frame.columns)}); "
            f"add it to the item table or configure an encoder that does not read it"
        )
    return items.frame[name].reset_index(drop=True)


def titles(items: ItemTable) -> pd.Series:
    """Titles [N] without a trailing year such as `(1995)`; empty where missing."""
    return column(items, "title").fillna("").astype(str).str.replace(_YEAR_IN_TITLE, "", regex=True)


def genre_pairs(items: ItemTable) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
    """All (item, genre name) pairs as two flat arrays; items without a genre do not occur."""
    pairs = column(items, "genres").explode().dropna()
    return pairs.index.to_numpy(), pairs.to_numpy(dtype=object)


def documents(items: ItemTable, fields: Sequence[str] = TEXT_FIELDS) -> list[str]:
    """One text per item [N], made of the chosen columns joined by `. `; empty where all of them are.

    Args:
        fields: some of `TEXT_FIELDS`.
    """
    text = pd.Series("", index=range(len(items)), dtype=object)
    for name in fields:
        part = _FIELD_READERS[name](items)
        separator = np.where((text != "") & (part != ""), ". ", "")
        text = text + separator + part
    return [str(document) for document in text]


def check_fields(owner: object, fields: Sequence[str]) -> tuple[str, ...]:
    """The fields as a tuple; ConfigError in the owner's name unless all are known."""
    unknown = [name for name in fields if name not in _FIELD_READERS]
    if unknown or not fields:
        raise ConfigError(
            f"{type(owner).__name__}.fields must be some of {list(_FIELD_READERS)}, got {list(fields)}"
        )
    return tuple(fields)


def digest(parts: Sequence[str]) -> str:
    """sha256 of a list of texts, sensitive to where one ends and the next begins."""
    whole = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        whole.update(len(encoded).to_bytes(8, "little"))
        whole.update(encoded)
    return whole.hexdigest()


def _years(items: ItemTable) -> pd.Series:
    return column(items, "year").astype("Int64").astype(object).map(str, na_action="ignore").fillna("")


def _genres(items: ItemTable) -> pd.Series:
    item, genre = genre_pairs(items)
    names = pd.Series(genre, index=item, dtype=object).groupby(level=0).agg(", ".join)
    return names.reindex(range(len(items)), fill_value="").astype(object)


def _text(items: ItemTable) -> pd.Series:
    return column(items, "text").fillna("").astype(str).str.strip()


_FIELD_READERS = {"title": titles, "year": _years, "genres": _genres, "text": _text}
