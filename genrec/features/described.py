"""Text encoders on other texts than the item table's: plots, cast lists, whatever a file holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import DataError
from genrec.features.base import ItemEncoder, ItemFeatures


class TextSource(Protocol):
    """Knows a text about each item.

    Attributes:
        name: the source and its settings.
    """

    name: str

    def texts(self, items: ItemTable) -> list[str]:
        """One text per item [N], in the order of the item table; empty where there is none."""
        ...


class Described:
    """An encoder that reads a source's texts in place of the item table's column `text`.

    Its fields decide what else it reads: `('title', 'text')` puts the title before the source's text, `('text',)`
    alone marks items absent that the source does not know.

    Args:
        encoder: any text encoder, such as `MiniLm` or `TfIdf`.
        source: such as `TextFile` or `MovieText`.
    """

    def __init__(self, encoder: ItemEncoder, source: TextSource) -> None:
        self.encoder = encoder
        self.source = source

    def encode(self, items: ItemTable, train: Interactions) -> ItemFeatures:
        """Features [N, width of the encoder]."""
        described = ItemTable(items.frame.assign(text=self.source.texts(items)))
        features = self.encoder.encode(described, train)
        return replace(features, encoder=f"{features.encoder} on {self.source.name}")


class TextFile:
    """Texts from a Parquet file with the columns `item_id` (raw ids) and `text`.

    Args:
        path: the file; ids that are not in the catalogue are ignored.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.name = f"TextFile({self.path.name})"

    def texts(self, items: ItemTable) -> list[str]:
        """One text per item [N].

        Raises:
            DataError: the file is missing or no such table, or describes no item of the catalogue.
        """
        table = self._read()
        ids = pd.Index(table["item_id"].to_pandas())
        if ids.has_duplicates:
            first = ids[ids.duplicated()].tolist()[0]
            raise DataError(f"{self.path}: item_id {first!r} occurs more than once; leave one text per item")
        return by_item(items, pd.Series(table["text"].to_pylist(), index=ids, dtype=object), str(self.path))

    def _read(self) -> pa.Table:
        if not self.path.is_file():
            raise DataError(
                f"texts {self.path} do not exist; write a Parquet file with item_id and text there"
            )
        try:
            table = pq.read_table(self.path)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{self.path} is no Parquet file ({error}); write it again") from error
        if not {"item_id", "text"} <= set(table.column_names):
            raise DataError(f"{self.path} has the columns {table.column_names}; item_id and text are due")
        if not pa.types.is_string(kind := table["text"].type) and not pa.types.is_large_string(kind):
            raise DataError(f"{self.path}: the column text holds {kind}; strings are due")
        return table


def by_item(items: ItemTable, texts: pd.Series, where: str) -> list[str]:
    """Texts [N] in the order of the item table, from texts by raw item id; empty where there is none.

    Args:
        texts: values may be null.
        where: they are from, for the error.

    Raises:
        DataError: not one item of the catalogue has a text.
    """
    found = texts.reindex(items.ids).fillna("").astype(str).str.strip()
    if not found.ne("").any():
        raise DataError(f"{where} describes none of the {len(items)} items; it belongs to another catalogue")
    return found.tolist()
