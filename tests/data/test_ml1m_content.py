"""MovieLens 1M with plots and posters: small files in the published formats, and the real ones."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from genrec.data.datasets.ml1m_content import PLOTS
from genrec.data.load import load_dataset
from genrec.data.tables import NO_TIMESTAMP, Dataset
from genrec.errors import DataError

MOVIES = "1::Heat (1995)::Action|Crime\n2::Misérables, Les (1998)::Drama\n5::Toy Story (1995)::Comedy\n"
PLOT = "2::Misérables::1998::PG::-::Drama::A::B::C::Bread is stolen.::http://x\r\n"
PLOT += "9::Not in the catalogue::1998::PG::-::Drama::A::B::C::Nothing happens.::http://x\r\n"


def write(folder: Path) -> Path:
    (folder / "movies.dat").write_text(MOVIES, "latin-1")
    events = {
        "user_id": [7, 7, 8],
        "pos": [1, 0, 0],
        "movie_id": [1, 2, 2],
        "timestamp": [None, 10.0, 12.0],
        "rating": [None, 4.0, 5.0],
    }
    pd.DataFrame(events).to_parquet(folder / "interactions.parquet")
    return folder


def rows(dataset: Dataset) -> pd.DataFrame:
    return dataset.items.frame.set_index("item_id")


def test_plots_and_posters_are_used_where_they_are_there(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / PLOTS).write_bytes(PLOT.encode())
    (folder / "posters").mkdir()
    (folder / "posters" / "5.jpg").write_bytes(b"")
    dataset = load_dataset("ml1m-content", folder)
    movies = rows(dataset)
    assert movies["text"].tolist() == ["Heat", "Misérables, Les. Bread is stolen", "Toy Story"]
    assert movies["year"].tolist() == [1995, 1998, 1995]
    assert movies["image_path"].isna().tolist() == [True, True, False]
    assert movies.loc[5, "image_path"] == "posters/5.jpg"
    events = dataset.interactions
    assert events.positions is not None
    assert events.positions.tolist() == [1, 0, 0]
    assert dataset.items.ids[events.items].tolist() == [1, 2, 2]


def test_without_plots_and_posters(tmp_path: Path) -> None:
    movies = rows(load_dataset("ml1m-content", write(tmp_path)))
    assert movies["text"].tolist() == ["Heat", "Misérables, Les", "Toy Story"]
    assert movies["image_path"].isna().all()


def test_what_is_needed_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"put interactions.parquet, movies.dat, .*posters"):
        load_dataset("ml1m-content", tmp_path)


def test_the_real_files(tmp_path: Path, shared_data: Path) -> None:
    for name in ("interactions.parquet", "movies.dat", "users.dat", "posters"):
        (tmp_path / name).symlink_to(shared_data / "ml-1m" / name)
    (tmp_path / PLOTS).symlink_to(shared_data / "movie-metadata" / PLOTS)
    dataset = load_dataset("ml1m-content", tmp_path)
    assert (len(dataset.interactions), len(dataset.users), len(dataset.items)) == (1_000_209, 6_040, 3_883)
    movies = rows(dataset)
    assert int(movies["image_path"].notna().sum()) == 3_872
    assert movies.loc[1, "text"].startswith("Toy Story. A little boy named Andy loves to be in his room")
    assert int((movies["text"].str.len() > 60).sum()) > 3_800
    assert dataset.interactions.timestamps is not None
    assert int((dataset.interactions.timestamps == NO_TIMESTAMP).sum()) == 292
    assert dataset.users.frame["gender"].isin(["F", "M"]).all()
