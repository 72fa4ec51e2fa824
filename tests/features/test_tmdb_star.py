"""Answers of TMDB as four tables, and the tables as texts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ArtifactError, ConfigError, DataError
from genrec.features.described import Described
from genrec.features.text import TfIdf
from genrec.features.tmdb.movie_text import MovieText
from genrec.features.tmdb.star import SCHEMAS, Star, build_star, load_star, save_star

TOYS: dict[str, Any] = {
    "id": 862,
    "imdb_id": "tt0114709",
    "title": "Toys",
    "overview": " A ranger lands among toys. ",
    "tagline": "",
    "release_date": "1995-11-22",
    "runtime": 81,
    "budget": 30_000_000_000,
    "revenue": 0,
    "popularity": 19.5,
    "vote_average": 7.9,
    "vote_count": 100,
    "adult": False,
    "poster_path": "/a.jpg",
    "genres": [{"id": 16, "name": "Animation"}, {"id": 35, "name": "Comedy"}],
    "keywords": {"keywords": [{"id": 9, "name": "toy"}, {"id": 4, "name": "rivalry"}]},
    "credits": {
        "cast": [
            {"id": 3, "name": "Cy Roe", "character": "Buzz", "order": 1, "gender": 2},
            {"id": 2, "name": "Bo Day", "character": "Woody", "order": 0, "gender": 0},
            {"id": 2, "name": "Bo Day", "character": "A horse", "order": 7},
        ],
        "crew": [
            {"id": 1, "name": "Ann Lee", "department": "Directing", "job": "Director"},
            {"id": 1, "name": "Ann Lee", "department": "Writing", "job": "Story"},
            {"id": 1, "name": "Ann Lee", "department": "Writing", "job": "Story"},
        ],
    },
    "unheard_of": {"by": "us"},
}
BARE: dict[str, Any] = {"id": 5, "vote_count": 0, "vote_average": 0.0, "release_date": "soon"}
LATE: dict[str, Any] = BARE | {
    "id": 6,
    "credits": {"cast": [{"id": 2, "name": "Bo Day-Lee", "character": "", "order": 0}], "crew": []},
    "genres": [{"id": 16, "name": "Animation"}],
}
ANSWERS = {30: LATE, 10: TOYS, 20: BARE}


def star_of(answers: dict[int, Any]) -> Star:
    return build_star(
        [*answers, 99], lambda movie: json.dumps(answers[movie]).encode() if movie in answers else None
    )


@pytest.fixture
def star() -> Star:
    return star_of(ANSWERS)


def test_movies_have_typed_nulls(star: Star) -> None:
    toys, bare, late = star.movies.to_pylist()
    assert toys == {
        "movie_id": 10,
        "tmdb_id": 862,
        "imdb_id": "tt0114709",
        "title": "Toys",
        "original_title": None,
        "original_language": None,
        "overview": "A ranger lands among toys.",
        "tagline": None,
        "status": None,
        "release_date": date(1995, 11, 22),
        "runtime": 81,
        "budget": 30_000_000_000,
        "revenue": None,
        "popularity": 19.5,
        "vote_average": 7.9,
        "vote_count": 100,
        "adult": False,
        "poster_path": "/a.jpg",
    }
    assert (bare["movie_id"], bare["vote_count"], bare["vote_average"], bare["release_date"]) == (
        20,
        0,
        None,
        None,
    )
    assert late["tmdb_id"] == 6
    for name, table in star.tables.items():
        assert table.schema.equals(SCHEMAS[name])


def test_people_roles_and_terms(star: Star) -> None:
    assert [(row["person_id"], row["name"], row["gender"]) for row in star.people.to_pylist()] == [
        (1, "Ann Lee", None),
        (2, "Bo Day", None),
        (3, "Cy Roe", 2),
    ]
    assert [tuple(row.values()) for row in star.movie_people.to_pylist()] == [
        (10, 2, "Acting", "Actor", "Woody", 0),
        (10, 3, "Acting", "Actor", "Buzz", 1),
        (10, 2, "Acting", "Actor", "A horse", 7),
        (10, 1, "Directing", "Director", None, None),
        (10, 1, "Writing", "Story", None, None),
        (30, 2, "Acting", "Actor", None, 0),
    ]
    assert [tuple(row.values()) for row in star.movie_terms.to_pylist()] == [
        (10, "genre", 16, "Animation"),
        (10, "genre", 35, "Comedy"),
        (10, "keyword", 4, "rivalry"),
        (10, "keyword", 9, "toy"),
        (30, "genre", 16, "Animation"),
    ]


def test_the_order_of_the_catalogue_changes_nothing(star: Star) -> None:
    assert star_of(dict(reversed(ANSWERS.items()))).tables == star.tables


def test_more_rows_than_are_kept_as_objects(star: Star, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrec.features.tmdb.star._ROWS_AT_ONCE", 2)
    assert star_of(ANSWERS).tables == star.tables


def first(table: pa.Table, column: str, value: Any) -> pa.Table:
    """The table with another value in the first row of a column."""
    index = table.column_names.index(column)
    changed = pa.array([value, *table[column].to_pylist()[1:]], table.schema.field(column).type)
    return table.set_column(index, column, changed)


@pytest.mark.parametrize(
    ("name", "column", "value", "sentence"),
    [
        ("movies", "movie_id", None, "movies: movie_id is null in row 0"),
        ("movies", "movie_id", 20, "movies has more than one row with the key {'movie_id': 20}"),
        ("movies", "movie_id", 11, "movie_people: movie_id 10 of row 0 is not in movies"),
        ("people", "person_id", 2, "people has more than one row with the key {'person_id': 2}"),
        ("people", "person_id", 8, "movie_people: person_id 1 of row 3 is not in people"),
        ("movie_people", "person_id", None, "movie_people: person_id is null in row 0"),
        ("movie_people", "movie_id", 40, "movie_people: movie_id 40 of row 0 is not in movies"),
        ("movie_terms", "movie_id", 40, "movie_terms: movie_id 40 of row 0 is not in movies"),
        (
            "movie_terms",
            "term_id",
            35,
            "movie_terms has more than one row with the key {'movie_id': 10, 'kind': 'genre'",
        ),
        ("movie_terms", "kind", None, "movie_terms: kind is null in row 0"),
    ],
)
def test_a_broken_key_is_one_sentence(star: Star, name: str, column: str, value: Any, sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        replace(star, **{name: first(star.tables[name], column, value)})
    assert str(caught.value).startswith(sentence)
    assert "run experiments/process_metadata.py again" in str(caught.value)


def test_a_row_that_is_there_twice_is_a_broken_key(star: Star) -> None:
    twice = pa.concat_tables([star.movie_people, star.movie_people.slice(3, 1)])
    with pytest.raises(DataError, match="movie_people has more than one row with the key"):
        replace(star, movie_people=twice)


def test_other_columns_are_refused(star: Star) -> None:
    with pytest.raises(DataError, match="people has the columns"):
        replace(star, people=star.people.drop_columns(["name"]))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ({}, r"movie 10 is no answer of TMDB about a movie \(id: Field required\)"),
        ([], "the whole answer: "),
        (TOYS | {"runtime": "long"}, "runtime: "),
        (TOYS | {"credits": {"cast": [{"name": "Nobody"}]}}, r"credits\.cast\.0\.id: Field required"),
        (TOYS | {"runtime": 1 << 40}, "movies: an answer of TMDB holds a number that is too large"),
        (TOYS | {"budget": 1 << 70}, "too large"),
    ],
)
def test_another_answer_is_named(answer: Any, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        star_of({10: answer})


def test_no_answers_say_what_to_run() -> None:
    with pytest.raises(DataError, match=r"run experiments/crawl_metadata\.py first"):
        star_of({})


def test_the_artifact_is_read_back_and_damage_is_noticed(star: Star, tmp_path: Path) -> None:
    manifest = save_star(star, tmp_path / "star", config="")
    assert load_star(tmp_path / "star").tables == star.tables
    assert manifest.metrics["movie_people"] == 6
    assert save_star(star, tmp_path / "again", config="").identity == manifest.identity
    path = tmp_path / "star" / manifest.files["people.parquet"].path
    path.write_bytes(path.read_bytes()[:-9] + b"123456789")
    with pytest.raises(ArtifactError, match="changed or damaged"):
        load_star(tmp_path / "star")
    with pytest.raises(ArtifactError, match=r"run `python experiments/process_metadata\.py` first"):
        load_star(tmp_path / "nowhere")


@pytest.fixture
def folder(star: Star, tmp_path: Path) -> str:
    save_star(star, tmp_path / "metadata", config="")
    return str(tmp_path / "metadata")


def test_texts_of_movies(items: ItemTable, folder: str) -> None:
    """The catalogue of the fixture has the ids 10, 20, ... 80."""
    assert MovieText(folder).texts(items) == [
        "A ranger lands among toys. Directed by Ann Lee. With Bo Day, Cy Roe. Keywords: rivalry, toy.",
        "",
        "With Bo Day.",
        *[""] * 5,
    ]
    assert MovieText(folder, fields=["genres", "tagline", "cast"], top_cast=1).texts(items)[:3] == [
        "Genres: Animation, Comedy. With Bo Day.",
        "",
        "Genres: Animation. With Bo Day.",
    ]


def test_an_encoder_reads_them(items: ItemTable, train: Interactions, folder: str) -> None:
    before = items.frame.copy()
    features = Described(TfIdf(4, fields=["text"]), MovieText(folder)).encode(items, train)
    np.testing.assert_array_equal(features.present, [1, 0, 1, 0, 0, 0, 0, 0])
    assert features.encoder.endswith(
        "on MovieText(fields=['overview', 'directors', 'cast', 'keywords'], top_cast=5)"
    )
    titled = Described(TfIdf(4, fields=["title", "text"]), MovieText(folder)).encode(items, train)
    assert titled.present.sum() == 7
    pd.testing.assert_frame_equal(items.frame, before)


def test_tables_of_another_catalogue_are_refused(items: ItemTable, folder: str) -> None:
    items.frame["item_id"] += 1000
    with pytest.raises(DataError, match="describes none of the 8 items"):
        MovieText(folder).texts(items)


@pytest.mark.parametrize(
    ("settings", "argument"),
    [
        ({"fields": ["plot"]}, r"MovieText\.fields must be some of .*'plot'"),
        ({"fields": []}, r"MovieText\.fields"),
        ({"top_cast": 0}, r"MovieText\.top_cast"),
    ],
)
def test_settings_are_named(settings: dict[str, Any], argument: str) -> None:
    with pytest.raises(ConfigError, match=argument):
        MovieText("nowhere", **settings)
