"""Readers of MovieLens files on small files in the published format, byte for byte, and on real ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from genrec.data.datasets.movielens import GENRES_100K
from genrec.data.load import load_dataset
from genrec.data.raw import split_genres, split_year
from genrec.data.tables import Dataset
from genrec.errors import DataError


def write(folder: Path, **files: bytes) -> Path:
    """Files by name, `_` for the dot."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_bytes(content)
    return folder


def movie(dataset: Dataset, item_id: int) -> dict[str, object]:
    number = dataset.items.index_of(item_id)
    assert number is not None
    row = dataset.items.frame.iloc[number]
    return {
        str(name): None if not isinstance(value, list) and pd.isna(value) else value
        for name, value in row.items()
    }


def events(dataset: Dataset) -> list[tuple[object, ...]]:
    """(raw user, raw item, rating, time), in the canonical order."""
    found = dataset.interactions
    assert found.ratings is not None
    assert found.timestamps is not None
    users, items = dataset.users.ids[found.users], dataset.items.ids[found.items]
    return list(
        zip(users.tolist(), items.tolist(), found.ratings.tolist(), found.timestamps.tolist(), strict=True)
    )


def u_item(number: int, title: str, date: str, *genres: str) -> str:
    flags = "|".join(str(int(genre in genres)) for genre in GENRES_100K)
    return f"{number}|{title}|{date}||http://us.imdb.com/M/title-exact?{number}|{flags}\n"


def official_100k(folder: Path) -> Path:
    items = (
        u_item(1, "Toy Story (1995)", "01-Jan-1995", "Animation", "Children's", "Comedy")
        + u_item(3, 'Misérables, "Les" (1995)', "01-Jan-1995", "Drama")
        + u_item(2, "unknown", "", "unknown")
    )
    return write(
        folder,
        u_data=b"196\t3\t3\t881250949\n22\t1\t1\t878887116\n196\t1\t5\t881250949\n",
        u_item=items.encode("latin-1"),
        u_user="22|24|M|technician|85711\n196|53|F|other|T8H1N\n7|1|M|none|00000\n".encode("latin-1"),
    )


def test_100k_official(tmp_path: Path) -> None:
    dataset = load_dataset("ml100k", official_100k(tmp_path))
    assert events(dataset) == [(22, 1, 1, 878887116), (196, 1, 5, 881250949), (196, 3, 3, 881250949)]
    assert dataset.items.ids.tolist() == [1, 2, 3]
    assert movie(dataset, 1)["genres"] == ["Animation", "Children's", "Comedy"]
    assert movie(dataset, 3) == {
        "item_id": 3,
        "title": 'Misérables, "Les"',
        "year": 1995,
        "genres": ["Drama"],
        "text": 'Misérables, "Les" (1995). Drama',
        "imdb_id": None,
        "tmdb_id": None,
        "image_path": None,
    }
    assert (movie(dataset, 2)["title"], movie(dataset, 2)["genres"]) == ("unknown", [])
    assert dataset.users.frame.to_dict("list") == {
        "user_id": [22, 196],  # user 7 has no events
        "age": [24, 53],
        "gender": ["M", "F"],
        "occupation": ["technician", "other"],
        "zip_code": ["85711", "T8H1N"],
    }


def test_100k_from_both_mirrors_is_the_same(tmp_path: Path, ml100k: Dataset) -> None:
    """The release as GroupLens writes it, made from RecBole's copy, has the same hash, movies and users."""
    found = ml100k.interactions
    assert found.ratings is not None
    assert found.timestamps is not None
    rows = pd.DataFrame(
        {
            "user": ml100k.users.ids[found.users],
            "item": ml100k.items.ids[found.items],
            "rating": found.ratings.astype(int),
            "time": found.timestamps,
        }
    ).sample(frac=1, random_state=0)
    rows.to_csv(tmp_path / "u.data", sep="\t", header=False, index=False)
    frame = ml100k.items.frame
    lines = [
        u_item(number, title if pd.isna(year) else f"{title} ({year})", "", *(genres or ["unknown"]))
        for number, title, year, genres in zip(
            frame.item_id, frame.title, frame.year, frame.genres, strict=True
        )
    ]
    (tmp_path / "u.item").write_text("".join(lines), encoding="latin-1")
    people = ml100k.users.frame[["user_id", "age", "gender", "occupation", "zip_code"]]
    people.to_csv(tmp_path / "u.user", sep="|", header=False, index=False)
    official = load_dataset("ml100k", tmp_path)
    assert official.content_hash == ml100k.content_hash
    pd.testing.assert_frame_equal(official.items.frame, ml100k.items.frame)
    pd.testing.assert_frame_equal(official.users.frame, ml100k.users.frame, check_like=True)


def test_100k_as_published(ml100k: Dataset) -> None:
    assert (len(ml100k.interactions), len(ml100k.users), len(ml100k.items)) == (100_000, 943, 1682)
    assert ml100k.interactions.positions is None
    star_wars = movie(ml100k, 50)
    assert (star_wars["title"], star_wars["year"]) == ("Star Wars", 1977)
    assert star_wars["genres"] == ["Action", "Adventure", "Romance", "Sci-Fi", "War"]
    assert movie(ml100k, 267)["title"] == "unknown"
    assert int(ml100k.interactions.item_counts()[49]) == 583  # the most rated film of the release
    assert [type(names) for names in ml100k.items.frame["genres"][:3]] == [list] * 3


def test_1m(tmp_path: Path) -> None:
    write(
        tmp_path,
        ratings_dat=b"6040::1::5::956704887\n1::3::4::978300760\n",
        movies_dat="1::Toy Story (1995)::Animation|Children's|Comedy\n3::Misérables, Les (1998)::Drama\n".encode(
            "latin-1"
        ),
        users_dat=b"1::F::1::10::48067\n6040::M::25::6::11106-1234\n",
    )
    dataset = load_dataset("ml1m", tmp_path)
    assert events(dataset) == [(1, 3, 4, 978300760), (6040, 1, 5, 956704887)]
    assert movie(dataset, 3)["title"] == "Misérables, Les"
    assert dataset.users.frame["zip_code"].tolist() == ["48067", "11106-1234"]
    assert dataset.users.frame["occupation"].tolist() == ["10", "6"]


BOM = b"\xef\xbb\xbf"
CSV = {
    "ratings_csv": b"userId,movieId,rating,timestamp\r\n2,11,4.5,964982703\r\n1,29,0.5,1141415820\r\n",
    "movies_csv": BOM
    + (
        "movieId,title,genres\r\n"
        '11,"American President, The (1995)",Comedy|Drama|Romance\r\n'
        '29,"City of Lost Children, The (Cité des enfants perdus, La) (1995)",Adventure|Drama\r\n'
        '40,"Say ""Yes"" ",(no genres listed)\r\n'
    ).encode(),
    "links_csv": b"movieId,imdbId,tmdbId\r\n29,0112682,902\r\n11,0112346,\r\n40,0000040,40\r\n",
}


def test_csv_release(tmp_path: Path) -> None:
    dataset = load_dataset("ml25m", write(tmp_path, **CSV))
    assert events(dataset) == [(1, 29, 0.5, 1141415820), (2, 11, 4.5, 964982703)]
    assert movie(dataset, 11)["title"] == "American President, The"
    assert (movie(dataset, 11)["imdb_id"], movie(dataset, 11)["tmdb_id"]) == ("0112346", None)
    assert movie(dataset, 29)["title"] == "City of Lost Children, The (Cité des enfants perdus, La)"
    assert movie(dataset, 29)["tmdb_id"] == 902
    nothing = movie(dataset, 40)
    assert (nothing["title"], nothing["year"], nothing["genres"]) == ('Say "Yes"', None, [])


def test_links_are_optional_and_unknown_movies_get_their_id_as_title(tmp_path: Path) -> None:
    files = {name: content for name, content in CSV.items() if name != "links_csv"}
    files["ratings_csv"] += b"1,7,3.0,5\r\n"
    dataset = load_dataset("ml20m", write(tmp_path, **files))
    assert movie(dataset, 7)["title"] == "7"
    assert movie(dataset, 11)["imdb_id"] is None
    assert dataset.items.ids.tolist() == [7, 11, 29, 40]


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("ratings_csv", (b"timestamp", b"time"), r"ratings\.csv lacks a column: .*'timestamp'"),
        ("ratings_csv", (b"4.5,", b"good,"), r"ratings\.csv, line 2: 'good' in column rating"),
        ("ratings_csv", (b"1,29,0.5,", b"1,29,"), r"ratings\.csv, line 3: 3 fields where 4 are due"),
        ("ratings_csv", (b"\r\n2,", b"\r\n,"), r"ratings\.csv: userId is empty in data row 1"),
        ("ratings_csv", (b"2,11,4.5,964982703\r\n1,29,0.5,1141415820\r\n", b""), r"ratings\.csv has no rows"),
        ("ratings_csv", (CSV["ratings_csv"], b""), r"ratings\.csv cannot be parsed .*Empty"),
        (
            "movies_csv",
            (b"\r\n40,", b"\r\n11,"),
            r"movies\.csv: movieId 11 occurs more than once .data row 3",
        ),
        ("movies_csv", ("é".encode(), b"\xe9"), r"movies\.csv, line 3: .* in column title"),
        ("links_csv", (b"902", b"tt902"), r"links\.csv, line 2: 'tt902' in column tmdbId"),
        ("links_csv", (b"\r\n40,", b"\r\n29,"), r"links\.csv: movieId 29 occurs more than once"),
    ],
)
def test_bad_files_say_what_and_where(
    tmp_path: Path, name: str, change: tuple[bytes, bytes], reason: str
) -> None:
    changed = CSV[name].replace(*change)
    assert changed != CSV[name]
    write(tmp_path, **(CSV | {name: changed}))
    with pytest.raises(DataError, match=reason) as caught:
        load_dataset("ml32m", tmp_path)
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"ratings.csv", "movies.csv", "links.csv", ".lock"}


def test_titles_and_years() -> None:
    titles = pd.Series(
        [
            "Heat (1995)",
            "Terminal, The (2004) ",
            "Babylon 5",
            "Friends (1994-2004)",
            "Lost (2009– )",
            "(500) Days",
        ]
    )
    title, year = split_year(titles)
    assert title.tolist() == ["Heat", "Terminal, The", "Babylon 5", "Friends", "Lost", "(500) Days"]
    assert year.astype(object).where(year.notna(), None).tolist() == [1995, 2004, None, 1994, 2009, None]


def test_labels_that_mean_none() -> None:
    assert split_genres(["A|B", "", "(no genres listed)", "unknown"]) == [["A", "B"], [], [], []]


def test_latest_small_as_published(tmp_path: Path, shared_data: Path) -> None:
    for name in ("ratings.csv", "movies.csv", "links.csv"):
        shutil.copy(shared_data / "ml-latest-small" / name, tmp_path)
    dataset = load_dataset("ml-latest-small", tmp_path)
    assert (len(dataset.interactions), len(dataset.users), len(dataset.items)) == (100_836, 610, 9_742)
    assert movie(dataset, 1)["tmdb_id"] == 862
    assert movie(dataset, 1)["imdb_id"] == "0114709"
    assert int(dataset.items.frame["tmdb_id"].isna().sum()) == 8
    assert int(dataset.items.frame["year"].isna().sum()) == 12
    assert int((dataset.items.frame["genres"].str.len() == 0).sum()) == 34


def test_1m_movies_and_users_as_published(tmp_path: Path, shared_data: Path) -> None:
    """The real movies and users, with those of the real ratings that are known to the second."""
    for name in ("movies.dat", "users.dat"):
        shutil.copy(shared_data / "ml-1m" / name, tmp_path)
    known = pd.read_parquet(shared_data / "ml-1m" / "interactions.parquet").dropna().head(50_000)
    columns = [known[name].astype(int).astype(str) for name in ("user_id", "movie_id", "rating", "timestamp")]
    lines = columns[0] + "::" + columns[1] + "::" + columns[2] + "::" + columns[3]
    (tmp_path / "ratings.dat").write_text("\n".join(lines) + "\n")
    dataset = load_dataset("ml1m", tmp_path)
    assert (len(dataset.interactions), len(dataset.items)) == (50_000, 3_883)
    assert movie(dataset, 73)["title"] == "Misérables, Les"
    assert dataset.users.frame.iloc[0].to_dict() == {
        "user_id": 1,
        "gender": "F",
        "age": 1,
        "occupation": "10",
        "zip_code": "48067",
    }
