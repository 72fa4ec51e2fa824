"""MovieLens (Harper & Konstan 2015, https://doi.org/10.1145/2827872): 100K, 1M and the CSV releases.

The files' line order is not an order in time, so no release has a `position`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from genrec.data.delimited import Delimited, required, unique
from genrec.data.download import WheelArchive, ZipArchive
from genrec.data.raw import RawTables, movie_text, split_genres, split_year
from genrec.data.registry import DatasetSpec, Layout

SITE = "https://files.grouplens.org/datasets/movielens"

GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
"""The flag columns of `u.item`, in the order of the published `u.genre`."""


def read_100k(folder: Path) -> RawTables:
    """The official archive: no headers, latin-1, genres as 19 flags."""
    movies_path, users_path = folder / "u.item", folder / "u.user"
    columns = ("id", "title", "date", "video_date", "url", *GENRES_100K)
    movies = Delimited("|", columns, "latin-1", quoted=False).read(
        movies_path, {"id": pa.int32(), "title": pa.string(), **dict.fromkeys(GENRES_100K, pa.int8())}
    )
    flags = np.stack([required(movies, genre, movies_path) for genre in GENRES_100K], axis=1)  # [N, 19]
    labels = ["|".join(np.compress(row, GENRES_100K)) for row in flags == 1]
    users = Delimited("|", ("user_id", "age", "gender", "occupation", "zip_code"), "latin-1", quoted=False)
    return _release(
        folder / "u.data",
        Delimited("\t", ("user", "item", "rating", "time"), quoted=False),
        ("user", "item", "rating", "time"),
        _movies(unique(movies, "id", movies_path), movies["title"].to_pandas(), labels),
        _users(users, users_path),
    )


def read_100k_recbole(folder: Path) -> RawTables:
    """The same release as RecBole's atomic files: typed headers, title without year, genres by spaces."""
    path = folder / "ml-100k.item"
    names = ("item_id:token", "movie_title:token_seq", "release_year:token", "class:token_seq")
    tabs = Delimited("\t", quoted=False)
    movies = tabs.read(path, {names[0]: pa.int32(), **dict.fromkeys(names[1:], pa.string())}).to_pandas()
    year = movies[names[2]].where(movies[names[2]].str.fullmatch(r"\d{4}"))
    # The one film without a title is written "unkonwn" there; the official file says "unknown".
    title = movies[names[1]].replace("unkonwn", "unknown")
    frame = _movies(
        movies[names[0]].to_numpy(),
        title.where(year.isna(), title + " (" + year + ")"),
        movies[names[3]].str.replace(" ", "|"),
    )
    people = tabs.read(folder / "ml-100k.user", _RECBOLE_USERS).to_pandas()
    return _release(
        folder / "ml-100k.inter",
        tabs,
        ("user_id:token", "item_id:token", "rating:float", "timestamp:float"),
        frame,
        people.rename(columns=lambda column: column.partition(":")[0]),
    )


def read_1m(folder: Path) -> RawTables:
    """`::` between fields, no headers, latin-1."""
    return _release(
        folder / "ratings.dat",
        Delimited("::", ("user", "item", "rating", "time"), quoted=False),
        ("user", "item", "rating", "time"),
        read_1m_movies(folder / "movies.dat"),
        read_1m_users(folder / "users.dat"),
    )


def read_1m_movies(path: Path) -> pd.DataFrame:
    """The movies of the 1M release."""
    types = {"id": pa.int32(), "title": pa.string(), "genres": pa.string()}
    movies = Delimited("::", tuple(types), "latin-1", quoted=False).read(path, types)
    return _movies(unique(movies, "id", path), movies["title"].to_pandas(), movies["genres"].to_pylist())


def read_1m_users(path: Path) -> pd.DataFrame:
    """The users of the 1M release."""
    columns = ("user_id", "gender", "age", "occupation", "zip_code")
    return _users(Delimited("::", columns, "latin-1", quoted=False), path)


def read_csv_release(folder: Path) -> RawTables:
    """`ratings.csv`, `movies.csv` and, where it is there, `links.csv`: headers, UTF-8, quoted commas.

    `imdb_id` keeps its leading zeros, as published; the page of a movie is imdb.com/title/tt<imdb_id>.
    """
    path = folder / "movies.csv"
    movies = Delimited().read(path, {"movieId": pa.int32(), "title": pa.string(), "genres": pa.string()})
    frame = _movies(
        unique(movies, "movieId", path), movies["title"].to_pandas(), movies["genres"].to_pylist()
    )
    if (folder / "links.csv").is_file():
        types = {"movieId": pa.int32(), "imdbId": pa.string(), "tmdbId": pa.int64()}
        path = folder / "links.csv"
        table = Delimited().read(path, types)
        unique(table, "movieId", path)
        links = table.to_pandas(integer_object_nulls=True).set_index("movieId").reindex(frame["item_id"])
        frame["imdb_id"] = links["imdbId"].replace("", None).to_numpy()
        frame["tmdb_id"] = links["tmdbId"].astype("Int64").to_numpy()
    columns = ("userId", "movieId", "rating", "timestamp")
    return _release(folder / "ratings.csv", Delimited(), columns, frame, None)


def _release(
    path: Path,
    file: Delimited,
    columns: tuple[str, str, str, str],
    movies: pd.DataFrame,
    users: pd.DataFrame | None,
) -> RawTables:
    """A release from its ratings file, whose columns (user, item, rating, time) have the given names."""
    user, item, rating, time = columns
    # Time is read as float64, which holds seconds exactly, because RecBole's copy declares it so.
    table = file.read(path, {user: pa.int32(), item: pa.int32(), rating: pa.float32(), time: pa.float64()})
    return RawTables(
        user_ids=required(table, user, path),
        item_ids=required(table, item, path),
        items=movies,
        users=users,
        ratings=required(table, rating, path),
        timestamps=required(table, time, path).astype(np.int64),
    )


def _movies(ids: NDArray[Any], titles: pd.Series[str], labels: Any) -> pd.DataFrame:
    """Items from titles with years and labels such as `Comedy|Drama`."""
    title, year = split_year(titles)
    genres = split_genres(labels)
    text = movie_text(title, year, genres)
    return pd.DataFrame({"item_id": ids, "title": title, "year": year, "genres": genres, "text": text})


_USER_TYPES = {
    "user_id": pa.int32(),
    "gender": pa.string(),
    "age": pa.int32(),
    "occupation": pa.string(),
    "zip_code": pa.string(),
}
_RECBOLE_USERS = {f"{name}:token": kind for name, kind in _USER_TYPES.items()}


def _users(file: Delimited, path: Path) -> pd.DataFrame:
    frame: pd.DataFrame = file.read(path, _USER_TYPES).to_pandas()
    return frame


def _zip_release(name: str, folder: str, layout: Layout, md5: str = "") -> DatasetSpec:
    """A release that GroupLens serves as `<folder>.zip` holding `<folder>/<file>`."""
    url = f"{SITE}/{folder}.zip"
    return DatasetSpec(
        name=name,
        folder=folder,
        layouts=(layout,),
        sources=(ZipArchive(url, folder, layout.files, layout.optional, md5=md5),),
        advice=f"{', '.join(layout.files)} (or {folder}.zip from {url})",
    )


_CSV = Layout(files=("ratings.csv", "movies.csv"), read=read_csv_release, optional=("links.csv",))
_100K = Layout(files=("u.data", "u.item", "u.user"), read=read_100k)
_100K_RECBOLE = Layout(files=("ml-100k.inter", "ml-100k.item", "ml-100k.user"), read=read_100k_recbole)
_100K_OFFICIAL = _zip_release("ml100k", "ml-100k", _100K, "0e33842e24a9c977be4e0107933c0723")

DATASETS = (
    replace(
        _100K_OFFICIAL,
        layouts=(_100K, _100K_RECBOLE),
        sources=(
            *_100K_OFFICIAL.sources,
            WheelArchive(
                "recbole==1.2.1",
                "recbole/dataset_example/ml-100k",
                _100K_RECBOLE.files,
                sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
            ),
        ),
    ),
    _zip_release("ml-latest-small", "ml-latest-small", _CSV),  # grows with time, so it has no checksum
    _zip_release(
        "ml1m",
        "ml-1m",
        Layout(files=("ratings.dat", "movies.dat", "users.dat"), read=read_1m),
        "c4d9eecfca2ab87c1945afe126590906",
    ),
    _zip_release("ml20m", "ml-20m", _CSV, "cd245b17a1ae2cc31bb14903e1204af3"),
    _zip_release("ml25m", "ml-25m", _CSV, "6b51fb2759a8657d3bfcbfc42b592ada"),
    _zip_release("ml32m", "ml-32m", _CSV, "d472be332d4daa821edc399621853b57"),
)
