"""The user's own tables, in each way they may be written, and the real ML-1M among them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from genrec.data.load import load_dataset
from genrec.data.splits import LeaveOneOut
from genrec.data.tables import NO_TIMESTAMP
from genrec.errors import DataError

INTERACTIONS = "user_id,item_id,rating,timestamp\nann,b17,4,1700000000\nann,c03,,1700000500\nbob,b17,5,\n"
ITEMS = 'item_id,title,year,genres\nb17,"Heart of Darkness",1899,Novella|Classic\nc03,Solaris,1961,SF\nd99,Unread,,\n'


def write(folder: Path, interactions: str = INTERACTIONS, items: str = ITEMS, users: str = "") -> Path:
    (folder / "interactions.csv").write_text(interactions, "utf-8")
    (folder / "items.csv").write_text(items, "utf-8")
    if users:
        (folder / "users.csv").write_text(users, "utf-8")
    return folder


def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    dataset = load_dataset("custom", write(tmp_path, users="user_id,city\nbob,Bonn\nann,Aachen\neve,Essen\n"))
    assert dataset.users.frame.to_dict("list") == {"user_id": ["ann", "bob"], "city": ["Aachen", "Bonn"]}
    found = dataset.interactions
    assert found.users.tolist() == [0, 0, 1]
    assert found.items.tolist() == [0, 1, 0]
    assert found.timestamps is not None
    assert found.timestamps.tolist() == [1700000000, 1700000500, NO_TIMESTAMP]
    np.testing.assert_array_equal(found.ratings, np.array([4, np.nan, 5], np.float32))
    frame = dataset.items.frame
    assert frame["genres"].tolist() == [["Novella", "Classic"], ["SF"], []]
    assert frame["text"].tolist() == [
        "Heart of Darkness (1899). Novella, Classic",
        "Solaris (1961). SF",
        "Unread",
    ]
    assert len(dataset.items) == 3  # d99 is cold


@pytest.mark.parametrize("events_as", ["csv", "parquet"])
@pytest.mark.parametrize("items_as", ["csv", "parquet"])
def test_formats_may_be_mixed_and_say_the_same(tmp_path: Path, events_as: str, items_as: str) -> None:
    expected = load_dataset("custom", write(tmp_path))
    other = tmp_path / "other"
    other.mkdir()
    for name, kind in (("interactions", events_as), ("items", items_as)):
        if kind == "csv":
            shutil.copy(tmp_path / f"{name}.csv", other)
        else:
            pd.read_csv(tmp_path / f"{name}.csv").to_parquet(other / f"{name}.parquet")
    found = load_dataset("custom", other)
    assert found.content_hash == expected.content_hash
    pd.testing.assert_frame_equal(found.items.frame, expected.items.frame)


def test_list_columns_json_and_descriptions(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "items.csv").unlink()
    frame = pd.DataFrame({"item_id": ["b17", "c03"], "title": ["A", None], "genres": [["x", "y"], None]})
    frame["description"] = ["Long ago.", None]
    frame.to_parquet(tmp_path / "items.parquet")
    dataset = load_dataset("custom", tmp_path)
    assert dataset.items.frame["genres"].tolist() == [["x", "y"], []]
    assert dataset.items.frame["title"].tolist() == ["A", "c03"]
    assert dataset.items.frame["text"].tolist()[0] == "A. x, y. Long ago"


def test_titles_and_imdb_ids_that_look_like_numbers(tmp_path: Path) -> None:
    items = "item_id,title,imdb_id,tmdb_id\nb17,1984,0087803,9314\nc03,2001,0062622,\n"
    frame = load_dataset("custom", write(tmp_path, items=items)).items.frame
    assert frame["title"].tolist() == ["1984", "2001"]
    assert frame["imdb_id"].tolist() == ["0087803", "0062622"]
    assert frame["tmdb_id"].isna().tolist() == [False, True]


def test_dates_are_seconds(tmp_path: Path) -> None:
    dates = INTERACTIONS.replace("1700000000", "2023-11-14 22:13:20").replace(
        "1700000500", "2023-11-14 22:21:40"
    )
    found = load_dataset("custom", write(tmp_path, dates)).interactions.timestamps
    assert found is not None
    assert found.tolist() == [1700000000, 1700000500, NO_TIMESTAMP]


def test_other_names_and_no_optional_columns(tmp_path: Path) -> None:
    dataset = load_dataset(
        "custom", write(tmp_path, "userId,movieId,pos\n3,10,0\n3,7,1\n", "movieId\n7\n10\n")
    )
    found = dataset.interactions
    assert (found.ratings, found.timestamps) == (None, None)
    assert found.positions is not None
    assert found.positions.tolist() == [1, 0]  # in the canonical order: item 7 first
    assert dataset.items.ids.tolist() == [7, 10]
    assert dataset.items.frame["title"].tolist() == ["7", "10"]


@pytest.mark.parametrize(
    ("interactions", "items", "reason"),
    [
        ("user_id,thing\n1,2\n", ITEMS, r"interactions\.csv lacks the column item_id; its columns are"),
        (INTERACTIONS, "title\nA\n", r"items\.csv lacks the column item_id"),
        (INTERACTIONS.replace("bob", ""), ITEMS, "user_id is empty in data row 3"),
        (INTERACTIONS.replace("c03,,", ",,"), ITEMS, "item_id is empty in data row 2"),
        (INTERACTIONS.replace(",5,", ",five,"), ITEMS, "rating is 'five' in data row 3; it must be a number"),
        ("user_id,item_id,position\n1,b17,0\n1,c03,\n", ITEMS, "position is empty in data row 2"),
        (INTERACTIONS, ITEMS + "b17,Again,,\n", "item_id 'b17' occurs more than once"),
        ("user_id,item_id\n1,17\n", ITEMS, "item_id is a number in one file and text in another"),
        ("user_id,item_id\n", ITEMS, "no interactions"),
        ("", ITEMS, r"interactions\.csv cannot be read .*Empty"),
        (INTERACTIONS, ITEMS.replace("1961", "long ago"), "year is 'long ago' in data row 2"),
        (INTERACTIONS, ITEMS.replace("Novella|Classic", "[x"), "must be JSON"),
    ],
)
def test_bad_tables_say_what_is_wrong(tmp_path: Path, interactions: str, items: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        load_dataset("custom", write(tmp_path, interactions, items))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "processed").exists()


def test_repeated_users_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="user_id 'ann' occurs more than once"):
        load_dataset("custom", write(tmp_path, users="user_id\nann\nann\n"))


def test_ml1m_in_order(tmp_path: Path, shared_data: Path) -> None:
    """Every interaction of the real release; 292 times are missing, so the position column orders alone."""
    shutil.copy(shared_data / "ml-1m" / "interactions.parquet", tmp_path)
    lines = (shared_data / "ml-1m" / "movies.dat").read_text("latin-1").splitlines()
    movies = pd.DataFrame([line.split("::") for line in lines], columns=["movie_id", "title", "genres"])
    movies.astype({"movie_id": int}).to_parquet(tmp_path / "items.parquet")
    dataset = load_dataset("custom", tmp_path)
    assert (len(dataset.interactions), len(dataset.users), len(dataset.items)) == (1_000_209, 6_040, 3_883)
    assert int((dataset.interactions.item_counts() > 0).sum()) == 3_706
    assert dataset.interactions.timestamps is not None
    assert int((dataset.interactions.timestamps == NO_TIMESTAMP).sum()) == 292
    split = LeaveOneOut()(dataset.interactions)
    assert "position alone" in split.tie_rule
    assert (len(split.valid), len(split.test)) == (6_040, 6_040)
    raw = pd.read_parquet(
        shared_data / "ml-1m" / "interactions.parquet", columns=["user_id", "movie_id", "pos"]
    )
    lasts = raw.loc[raw.groupby("user_id")["pos"].idxmax(), "movie_id"]
    assert dataset.items.ids[split.test.items].tolist() == lasts.tolist()
