"""MovieLens 1M with plots and posters: the events in a known order, and what people read and see of a movie.

`interactions.parquet` has the order of events within the seconds of `ratings.dat`; `ml-1m_movies_extrainfos.dat`
tells the plot, and `posters/<movieId>.jpg` are the posters. Plots and posters are used where they are there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from genrec.data.datasets.custom import read_events
from genrec.data.datasets.movielens import read_1m_movies, read_1m_users
from genrec.data.delimited import Delimited
from genrec.data.raw import RawTables, join_text
from genrec.data.registry import DatasetSpec, Layout

PLOTS = "ml-1m_movies_extrainfos.dat"
_PLOT_COLUMNS = (
    "id", "title", "year", "rating", "date", "genres", "director", "writers", "cast", "plot", "poster",
)  # fmt: skip


def read_1m_content(folder: Path) -> RawTables:
    """Events in order; `text` is title and plot, which says nothing that `genres` and `year` say already."""
    events = read_events(folder)
    movies = read_1m_movies(folder / "movies.dat")
    ids = movies["item_id"].to_numpy()
    plot = _plots(folder / PLOTS).reindex(ids).fillna("")
    movies["text"] = [join_text(parts) for parts in zip(movies["title"], plot, strict=True)]
    there = np.array([(folder / poster(i)).is_file() for i in ids])
    movies["image_path"] = pd.Series([poster(i) for i in ids], dtype="string").where(there)
    users = folder / "users.dat"
    events.items, events.users = movies, read_1m_users(users) if users.is_file() else None
    return events


def poster(movie_id: int) -> str:
    """Where a movie's poster is, relative to the dataset's folder."""
    return f"posters/{movie_id}.jpg"


def _plots(path: Path) -> pd.Series[str]:
    """Plot by movie id."""
    if not path.is_file():
        return pd.Series(dtype=str)
    table = Delimited("::", _PLOT_COLUMNS, quoted=False).read(path, {"id": pa.int32(), "plot": pa.string()})
    plots: pd.Series[str] = table.to_pandas().drop_duplicates("id").set_index("id")["plot"]
    return plots


DATASETS = (
    DatasetSpec(
        name="ml1m-content",
        folder="ml-1m-content",
        layouts=(
            Layout(
                files=("interactions.parquet", "movies.dat"),
                read=read_1m_content,
                optional=("users.dat", PLOTS),
            ),
        ),
        advice=f"interactions.parquet, movies.dat, and where you have them users.dat, {PLOTS} and posters/",
    ),
)
