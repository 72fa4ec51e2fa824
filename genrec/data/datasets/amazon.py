"""Amazon product data of 2014, 5-core (McAuley et al., SIGIR 2015, https://doi.org/10.1145/2766462.2767755).

Reviews are strict JSON lines; the metadata's lines are Python literals. Times are days, so most users have ties.
"""

from __future__ import annotations

import ast
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
from pyarrow.json import ParseOptions

from genrec.data.datasets import custom
from genrec.data.download import PlainFiles
from genrec.data.raw import RawTables, below_root, join_text
from genrec.data.registry import DatasetSpec, Layout
from genrec.errors import DataError

SITE = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"

_REVIEW = pa.schema(
    {"reviewerID": pa.string(), "asin": pa.string(), "overall": pa.float32(), "unixReviewTime": pa.int64()}
)
_ASIN = re.compile(r"""["']asin["']\s*:\s*["']([^"']+)["']""")


def read_category(folder: Path, category: str) -> RawTables:
    """The reviews of one category with the metadata of the items they are about.

    The catalogue is the reviewed items: the metadata file describes the whole category, of which the 5-core is
    a small part. `genres` are the categories below the department; `text` is title, brand, categories and
    description.

    Raises:
        DataError: a file is truncated or a line cannot be parsed.
    """
    reviews = _reviews(folder / f"reviews_{category}_5.json.gz")
    rated = pc.unique(reviews["asin"]).to_pylist()
    return RawTables(
        user_ids=_ids(reviews["reviewerID"]),
        item_ids=_ids(reviews["asin"]),
        items=_items(folder / f"meta_{category}.json.gz", rated),
        ratings=reviews["overall"].to_numpy(),
        timestamps=reviews["unixReviewTime"].to_numpy(),
    )


def _ids(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    return np.asarray(column.to_numpy(), dtype=object)


def _reviews(path: Path) -> pa.Table:
    options = ParseOptions(explicit_schema=_REVIEW, unexpected_field_behavior="ignore")
    try:
        with pa.OSFile(str(path)) as file, pa.CompressedInputStream(file, "gzip") as stream:
            table = pyarrow.json.read_json(stream, parse_options=options)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{path} is not the published JSON ({error}); delete it and fetch it again"
        ) from error
    except OSError as error:
        raise DataError(f"{path} is truncated or not gzip ({error}); delete it and fetch it again") from error
    for name in _REVIEW.names:
        if table[name].null_count:
            row = int(np.argmax(pc.is_null(table[name]).to_numpy()))
            raise DataError(f"{path}, line {row + 1}: {name} is missing; delete the file and fetch it again")
    return table


def _items(path: Path, rated: list[str]) -> pd.DataFrame:
    """Canonical item columns of the rated items that the metadata knows."""
    records = pd.DataFrame(
        _records(path, set(rated)), columns=["asin", "title", "brand", "categories", "description"]
    )
    records = records.drop_duplicates("asin")  # the published files repeat some lines
    for name in ("title", "brand", "description"):
        records[name] = records[name].fillna("").astype(str)
    genres = below_root(records["categories"])
    parts = zip(
        records["title"], records["brand"], map(", ".join, genres), records["description"], strict=True
    )
    return pd.DataFrame(
        {
            "item_id": records["asin"],
            "title": [join_text([title]) for title in records["title"]],
            "genres": genres,
            "text": [join_text(one) for one in parts],
        }
    )


def _records(path: Path, wanted: set[str]) -> Iterator[dict[str, Any]]:
    """The metadata of the wanted items; other lines are not parsed, which would take minutes."""
    try:
        with gzip.open(path, "rt", encoding="utf8") as lines:
            for number, line in enumerate(lines, start=1):
                found = _ASIN.search(line)
                if found is None and line.strip():
                    raise DataError(
                        f"{path}, line {number}: there is no asin; delete the file and fetch it again"
                    )
                if found is not None and found[1] in wanted:
                    yield _literal(line, path, number)
    except (EOFError, zlib.error, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is truncated or damaged ({error}); delete it and fetch it again") from error


def _literal(line: str, path: Path, number: int) -> dict[str, Any]:
    """A line as published (a Python literal) or as strict JSON; neither is executed."""
    try:
        record: Any = json.loads(line)
    except json.JSONDecodeError:
        try:
            record = ast.literal_eval(line.strip())
        except (ValueError, SyntaxError) as error:
            raise DataError(
                f"{path}, line {number}: {line[:60]!r} is neither a Python literal nor JSON; fetch the file again"
            ) from error
    if not isinstance(record, dict):
        raise DataError(f"{path}, line {number}: a record is due, not {line[:60]!r}; fetch the file again")
    return record


def _category(split: str, category: str) -> DatasetSpec:
    files = (f"reviews_{category}_5.json.gz", f"meta_{category}.json.gz")
    return DatasetSpec(
        name=f"amazon-{split}",
        folder=f"amazon-{split}",
        # The second form is the one in which papers on generative retrieval pass this data on.
        layouts=(Layout(files, partial(read_category, category=category)), *custom.LAYOUTS),
        sources=(PlainFiles({name: f"{SITE}/{name}" for name in files}),),
        advice=f"{' and '.join(files)} from {SITE}/",
    )


DATASETS = (
    _category("beauty", "Beauty"),
    _category("sports", "Sports_and_Outdoors"),
    _category("toys", "Toys_and_Games"),
)
