"""What every reader returns: one release's events, items and users with their raw ids, in plain columns."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

NO_GENRES = frozenset({"", "(no genres listed)", "unknown"})
"""How releases write "no genre"; none of these is a genre."""

_YEAR_IN_TITLE = r"^(?P<title>.*?)\s*\((?P<year>\d{4})(?:\s*[-–]\s*(?:\d{4})?)?\s*\)\s*$"


@dataclass(slots=True)
class RawTables:
    """A release as it was published, before dense indices.

    Attributes:
        user_ids: int or str [E].
        item_ids: int or str [E], of the same kind as `items.item_id`.
        items: frame with `item_id` and any of the other canonical columns; see `item_frame`.
        users: frame with `user_id` and any other columns, or None.
        ratings: float32 [E], NaN where unknown, or None.
        timestamps: int64 [E] seconds, `NO_TIMESTAMP` where unknown, or None.
        positions: int64 [E], or None where the files have no order of their own.
    """

    user_ids: NDArray[Any]
    item_ids: NDArray[Any]
    items: pd.DataFrame
    users: pd.DataFrame | None = None
    ratings: NDArray[np.float32] | None = None
    timestamps: NDArray[np.int64] | None = None
    positions: NDArray[np.int64] | None = None


def split_year(titles: pd.Series[str]) -> tuple[pd.Series[str], pd.Series[int]]:
    """MovieLens titles `Heat (1995)` and `Friends (1994-2004)` as (title without year, year or NA)."""
    parts = titles.str.extract(_YEAR_IN_TITLE)
    title = parts["title"].fillna(titles).str.strip()
    year = pd.to_numeric(parts["year"]).astype("Int64")
    return title, year


def split_genres(labels: Iterable[str]) -> list[list[str]]:
    """`Comedy|Drama` as a list; labels that mean "none" give an empty list."""
    return [[genre for genre in label.split("|") if genre not in NO_GENRES] for label in labels]


def movie_text(titles: Iterable[str], years: Iterable[Any], genres: Iterable[list[str]]) -> list[str]:
    """One sentence per movie for text encoders: `Heat (1995). Action, Crime, Thriller`."""
    return [
        join_text((title if pd.isna(year) else f"{title} ({year})", ", ".join(names)))
        for title, year, names in zip(titles, years, genres, strict=True)
    ]


def below_root(items: Iterable[Any]) -> list[list[str]]:
    """Category paths of each item, `[["Beauty", "Makeup", "Nails"], ...]`, as its distinct category names.

    The first name of a path is the department that all items share; it would say nothing about any of them.
    """
    return [
        list(dict.fromkeys(html.unescape(name) for path in paths for name in path[1:]))
        if isinstance(paths, list)
        else []
        for paths in items
    ]


def join_text(parts: Iterable[str]) -> str:
    """Non-empty parts as sentences, with HTML entities resolved and white space collapsed."""
    cleaned = (" ".join(html.unescape(part).split()).rstrip(".") for part in parts)
    return ". ".join(part for part in cleaned if part)


def item_frame(items: pd.DataFrame) -> pd.DataFrame:
    """The canonical item columns, in order, with missing ones filled: title = id, the rest empty or null."""
    count = len(items)
    ids = items["item_id"]
    names = ids.astype(str)
    title = items["title"].astype("string").fillna(names) if "title" in items else names
    title = title.where(title.str.len() > 0, names)
    columns: dict[str, Any] = {
        "item_id": ids,
        "title": title.astype(str),
        "year": _nullable(items, "year", pd.Int64Dtype()),
        "genres": items["genres"] if "genres" in items else [[] for _ in range(count)],
        "text": items["text"].fillna("").astype(str) if "text" in items else title.astype(str),
        "imdb_id": _nullable(items, "imdb_id", pd.StringDtype()),
        "tmdb_id": _nullable(items, "tmdb_id", pd.Int64Dtype()),
        "image_path": _nullable(items, "image_path", pd.StringDtype()),
    }
    return pd.DataFrame(columns).reset_index(drop=True)


def _nullable(items: pd.DataFrame, name: str, kind: pd.StringDtype | pd.Int64Dtype) -> pd.Series[Any]:
    column = items[name] if name in items else pd.Series([pd.NA] * len(items), index=items.index)
    return column.astype(kind)
