"""Movies, people and terms as a star schema: four tables that point to each other by keys.

| table | key | points to |
|---|---|---|
| `movies` | `movie_id` (of MovieLens) | |
| `people` | `person_id` (of TMDB) | |
| `movie_people` | the whole row | `movies`, `people` |
| `movie_terms` | `movie_id`, `kind` (genre or keyword), `term_id` | `movies` |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from genrec.artifacts import Manifest, load_table, read_manifest, save_artifact
from genrec.errors import DataError
from genrec.features.tmdb.details import Details, Row, parse

KIND = "tmdb_star"

SCHEMAS: dict[str, pa.Schema] = {
    "movies": pa.schema(
        {
            "movie_id": pa.int64(),
            "tmdb_id": pa.int64(),
            "imdb_id": pa.string(),
            "title": pa.string(),
            "original_title": pa.string(),
            "original_language": pa.string(),
            "overview": pa.string(),
            "tagline": pa.string(),
            "status": pa.string(),
            "release_date": pa.date32(),
            "runtime": pa.int32(),
            "budget": pa.int64(),
            "revenue": pa.int64(),
            "popularity": pa.float64(),
            "vote_average": pa.float64(),
            "vote_count": pa.int32(),
            "adult": pa.bool_(),
            "poster_path": pa.string(),
        }
    ),
    "people": pa.schema(
        {
            "person_id": pa.int64(),
            "name": pa.string(),
            "gender": pa.int8(),
            "known_for_department": pa.string(),
            "profile_path": pa.string(),
        }
    ),
    "movie_people": pa.schema(
        {
            "movie_id": pa.int64(),
            "person_id": pa.int64(),
            "department": pa.string(),
            "job": pa.string(),
            "character": pa.string(),
            "order": pa.int32(),
        }
    ),
    "movie_terms": pa.schema(
        {"movie_id": pa.int64(), "kind": pa.string(), "term_id": pa.int64(), "name": pa.string()}
    ),
}
"""Columns of each table, in the order of `Details`' rows; all but those of NOT_NULL may be null."""

_ROLE = ("movie_id", "person_id", "department", "job", "character", "order")
KEYS = {
    "movies": ("movie_id",),
    "people": ("person_id",),
    "movie_people": _ROLE,
    "movie_terms": ("movie_id", "kind", "term_id"),
}
NOT_NULL = {
    "movies": ("movie_id", "tmdb_id"),
    "people": ("person_id",),
    "movie_people": ("movie_id", "person_id"),
    "movie_terms": ("movie_id", "kind", "term_id"),
}
REFERENCES = (
    ("movie_people", "movie_id", "movies"),
    ("movie_people", "person_id", "people"),
    ("movie_terms", "movie_id", "movies"),
)
_SORTED_BY = KEYS | {"movie_people": ("movie_id", "department", "order", "job", "person_id", "character")}
_ROWS_AT_ONCE = 1 << 16  # rows that are Python objects at a time


@dataclass(frozen=True)
class Star:
    """The four tables.

    Raises:
        DataError: a table has other columns than its schema, or breaks a key.
    """

    movies: pa.Table
    people: pa.Table
    movie_people: pa.Table
    movie_terms: pa.Table

    def __post_init__(self) -> None:
        tables = self.tables
        for name, schema in SCHEMAS.items():
            if not tables[name].schema.equals(schema):
                found = {field.name: str(field.type) for field in tables[name].schema}
                raise DataError(f"{name} has the columns {found}, not those of {KIND}; {_AGAIN}")
            _check_key(name, tables[name])
        for name, column, target in REFERENCES:
            _check_reference(name, tables[name], column, target, tables[target])

    @property
    def tables(self) -> dict[str, pa.Table]:
        """By name."""
        return {name: getattr(self, name) for name in SCHEMAS}


_AGAIN = "run experiments/process_metadata.py again"


def _check_key(name: str, table: pa.Table) -> None:
    for column in NOT_NULL[name]:
        if table[column].null_count:
            row = pc.index(pc.is_null(table[column]), True).as_py()
            raise DataError(f"{name}: {column} is null in row {row}; {_AGAIN}")
    counts = table.group_by(list(KEYS[name])).aggregate([([], "count_all")])
    twice = counts.filter(pc.greater(counts["count_all"], 1))
    if len(twice):
        first = {column: twice[column][0].as_py() for column in KEYS[name]}
        raise DataError(f"{name} has more than one row with the key {first}; {_AGAIN}")


def _check_reference(name: str, table: pa.Table, column: str, target: str, other: pa.Table) -> None:
    known = pc.is_in(table[column], value_set=other[column].combine_chunks())
    if not pc.all(known, min_count=0).as_py():
        row = pc.index(known, False).as_py()
        raise DataError(
            f"{name}: {column} {table[column][row].as_py()} of row {row} is not in {target}; {_AGAIN}"
        )


def build_star(movie_ids: Iterable[int], read: Callable[[int], bytes | None]) -> Star:
    """The tables of the movies that have an answer, sorted by their keys.

    Args:
        movie_ids: of the catalogue, each once.
        read: a movie's answer, or None.

    Raises:
        DataError: no movie has an answer, or one is not TMDB's.
    """
    rows = {name: _Rows(schema, name) for name, schema in SCHEMAS.items()}
    people: dict[
        int, Row
    ] = {}  # the first mention counts: two answers may differ, as time has passed between them
    for movie_id, details in _answers(movie_ids, read):
        rows["movies"].add([details.movie_row(movie_id)])
        for person in details.people_rows():
            people.setdefault(person[0], person)
        rows["movie_people"].add(details.role_rows(movie_id))
        rows["movie_terms"].add(details.term_rows(movie_id))
    rows["people"].add(people.values())
    tables = {name: one.table(_SORTED_BY[name]) for name, one in rows.items()}
    if not len(tables["movies"]):
        raise DataError("there are no answers of TMDB to process; run experiments/crawl_metadata.py first")
    return Star(tables["movies"], tables["people"], tables["movie_people"], tables["movie_terms"])


def _answers(movie_ids: Iterable[int], read: Callable[[int], bytes | None]) -> Iterator[tuple[int, Details]]:
    for movie_id in sorted(movie_ids):
        body = read(movie_id)
        if body is not None:
            yield movie_id, parse(body, f"the answer about movie {movie_id}")


class _Rows:
    """Grows a table; only the last rows are Python objects."""

    def __init__(self, schema: pa.Schema, name: str) -> None:
        self._schema, self._name = schema, name
        self._rows: list[Row] = []
        self._done: list[pa.Table] = []

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows in the schema's order of columns."""
        self._rows.extend(rows)
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._flush()

    def table(self, by: Iterable[str]) -> pa.Table:
        """All rows, sorted."""
        self._flush()
        return pa.concat_tables(self._done).combine_chunks().sort_by([(name, "ascending") for name in by])

    def _flush(self) -> None:
        columns = list(zip(*self._rows, strict=True)) or [()] * len(self._schema)
        try:
            arrays = [
                pa.array(values, field.type) for values, field in zip(columns, self._schema, strict=True)
            ]
        except (pa.ArrowInvalid, OverflowError) as error:
            raise DataError(
                f"{self._name}: an answer of TMDB holds a number that is too large ({error}); delete it and run "
                "experiments/crawl_metadata.py again"
            ) from error
        self._done.append(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows = []


def save_star(
    star: Star,
    folder: Path,
    *,
    config: str,
    inputs: Mapping[str, Mapping[str, str]] | None = None,
    rerun: str = "",
) -> Manifest:
    """Write the tables as one artifact, atomically.

    Args:
        config: the operative configuration.
        inputs: what they were made from, see `genrec.artifacts.input_ref`.
        rerun: command that makes them again, for error messages.
    """
    return save_artifact(
        folder,
        kind=KIND,
        payload={f"{name}.parquet": table for name, table in star.tables.items()},
        config=config,
        inputs=inputs,
        metrics={name: len(table) for name, table in star.tables.items()},
        rerun=rerun,
    )


def load_star(folder: Path) -> Star:
    """Read and verify what `save_star` wrote.

    Raises:
        ArtifactError: missing, damaged, or of another kind.
    """
    manifest = read_manifest(folder, KIND, rerun="python experiments/process_metadata.py")
    tables = {name: load_table(folder, manifest, f"{name}.parquet") for name in SCHEMAS}
    return Star(tables["movies"], tables["people"], tables["movie_people"], tables["movie_terms"])
