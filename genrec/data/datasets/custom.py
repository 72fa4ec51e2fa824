"""Your own data: a folder with `interactions` and `items`, and optionally `users`, as parquet or CSV.

The columns are described, with an example, in dataset/README.md.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from genrec.data.raw import RawTables, below_root, join_text, movie_text, split_genres
from genrec.data.registry import DatasetSpec, Layout
from genrec.data.tables import NO_TIMESTAMP
from genrec.errors import DataError

ALIASES = {
    "userId": "user_id",
    "movieId": "item_id",
    "movie_id": "item_id",
    "asin": "item_id",
    "pos": "position",
}
"""Names that published tables use for the canonical ones."""

_FORMATS = ("parquet", "csv")
_TEXTS = ("title", "text", "genres", "categories", "description", "imdb_id", "image_path")
_CSV = pyarrow.csv.ConvertOptions(  # a column of titles like 1984 is text all the same
    strings_can_be_null=True, null_values=[""], column_types=dict.fromkeys(_TEXTS, pa.string())
)


def read_custom(folder: Path) -> RawTables:
    """The tables in `folder`.

    Raises:
        DataError: a column is missing or not of its kind, or a user or item id is empty.
    """
    tables = read_events(folder)
    items, items_path = _table(folder, "items")
    users, users_path = _table(folder, "users")
    assert items is not None  # the layout asks for it
    items["item_id"] = _ids(items, "item_id", items_path)
    if users is not None:
        users["user_id"] = _ids(users, "user_id", users_path)
    tables.items, tables.users = _described(items, items_path), users
    return tables


def read_events(folder: Path) -> RawTables:
    """Only the interactions in `folder`; items are known by id.

    Raises:
        DataError: as `read_custom`.
    """
    events, path = _table(folder, "interactions")
    assert events is not None  # the layout asks for it
    user_ids, item_ids = _ids(events, "user_id", path), _ids(events, "item_id", path)
    ratings = _numbers(events, "rating", path)
    timestamps = _numbers(_in_seconds(events), "timestamp", path)
    positions = _numbers(events, "position", path)
    if positions is not None and np.isnan(positions).any():
        row = int(np.argmax(np.isnan(positions)))
        raise DataError(f"{path}: position is empty in data row {row + 1}; fill the column or leave it out")
    return RawTables(
        user_ids=user_ids,
        item_ids=item_ids,
        items=pd.DataFrame({"item_id": np.unique(item_ids)}),
        ratings=None if ratings is None else ratings.astype(np.float32),
        timestamps=None if timestamps is None else _whole_seconds(timestamps),
        positions=None if positions is None else positions.astype(np.int64),
    )


def _table(folder: Path, name: str) -> tuple[pd.DataFrame | None, Path]:
    """`<name>.parquet`, else `<name>.csv`, with canonical column names; None where there is neither."""
    parquet, csv = (folder / f"{name}.{kind}" for kind in _FORMATS)
    path = parquet if parquet.is_file() else csv
    if not path.is_file():
        return None, path
    try:
        table = pq.read_table(path) if path is parquet else pyarrow.csv.read_csv(path, convert_options=_CSV)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} cannot be read ({error}); export it again") from error
    frame: pd.DataFrame = table.to_pandas()
    return frame.rename(columns=ALIASES), path


def _ids(frame: pd.DataFrame, name: str, path: Path) -> NDArray[Any]:
    """An id column: int64 where all are whole numbers, else str."""
    if name not in frame:
        raise DataError(f"{path} lacks the column {name}; its columns are {list(frame.columns)}")
    column = frame[name]
    if column.isna().any():
        raise DataError(
            f"{path}: {name} is empty in data row {int(column.isna().argmax()) + 1}; every row needs one"
        )
    if pd.api.types.is_integer_dtype(column):
        return column.to_numpy(dtype=np.int64)
    return column.astype(str).to_numpy(dtype=object)


def _numbers(frame: pd.DataFrame, name: str, path: Path) -> NDArray[np.float64] | None:
    """A column as float64, NaN where empty; None where it is absent or empty throughout.

    float64 holds every second until the year 285,000,000 and every position exactly.
    """
    if name not in frame or frame[name].isna().all():
        return None
    numbers = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = np.isnan(numbers) & frame[name].notna().to_numpy()
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"{path}: {name} is {frame[name].tolist()[row]!r} in data row {row + 1}; it must be a number"
        )
    return numbers


def _in_seconds(events: pd.DataFrame) -> pd.DataFrame:
    """Dates in the timestamp column as seconds since 1970, numbers as they are."""
    if "timestamp" not in events or not pd.api.types.is_datetime64_any_dtype(events["timestamp"]):
        return events
    moments = pd.to_datetime(events["timestamp"], utc=True)
    seconds = (moments - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    return events.assign(timestamp=seconds)


def _whole_seconds(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    known = ~np.isnan(seconds)
    return np.where(known, np.floor(np.where(known, seconds, 0)).astype(np.int64), NO_TIMESTAMP)


def _described(items: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Items with `genres` as lists and a `text` where the file has none: title, year, genres, description."""
    for name in {"year", "tmdb_id"} & set(items):
        numbers = _numbers(items, name, path)
        items[name] = pd.Series(numbers, items.index, dtype="float64").round().astype("Int64")
    if "genres" in items:
        items["genres"] = _lists(items["genres"], path)
    elif "categories" in items:
        items["genres"] = _lists(items["categories"], path)
    if "text" not in items and "title" in items:
        count = len(items)
        title = items["title"].fillna("").astype(str)
        years = items["year"] if "year" in items else [None] * count
        genres: Any = items["genres"] if "genres" in items else [[]] * count
        described = items["description"].fillna("").astype(str) if "description" in items else [""] * count
        texts = movie_text(title, years, genres)
        items["text"] = [join_text(parts) for parts in zip(texts, described, strict=True)]
    return items


def _lists(column: pd.Series[Any], path: Path) -> list[list[str]]:
    """Labels of each item from a list, `a|b`, or JSON (a list of labels, or of category paths)."""
    try:
        return [_labels(value) for value in column.where(column.notna(), "")]
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: genres that begin with '[' must be JSON ({error}); write them as a|b"
        ) from error


def _labels(value: Any) -> list[str]:
    if isinstance(value, str) and not value.startswith("["):
        return split_genres([value])[0]
    names = list(json.loads(value) if isinstance(value, str) else value)
    nested = bool(names) and not isinstance(names[0], str)
    return below_root([names])[0] if nested else names


LAYOUTS = tuple(
    Layout(
        files=(f"interactions.{events}", f"items.{items}"),
        read=read_custom,
        optional=("users.parquet", "users.csv"),
    )
    for events, items in product(_FORMATS, repeat=2)
)

DATASETS = (
    DatasetSpec(
        name="custom",
        folder="custom",
        layouts=LAYOUTS,
        advice="interactions.parquet or .csv and items.parquet or .csv (see dataset/README.md)",
    ),
)
