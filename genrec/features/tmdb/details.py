"""TMDB's answer about a movie, as far as it is used: types that check it, and its rows in the star schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pydantic import TypeAdapter, ValidationError

from genrec.errors import DataError

ACTING, ACTOR = "Acting", "Actor"
"""Department and job of the cast, for whom TMDB names the part instead."""

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Person:
    """Someone in the credits."""

    id: int
    name: str
    gender: int | None = None
    known_for_department: str | None = None
    profile_path: str | None = None


@dataclass(frozen=True)
class CastMember(Person):
    """A part and who played it; `order` is that of the billing."""

    character: str | None = None
    order: int | None = None


@dataclass(frozen=True)
class CrewMember(Person):
    """A job and who did it."""

    department: str | None = None
    job: str | None = None


@dataclass(frozen=True)
class Term:
    """A genre or a keyword."""

    id: int
    name: str


@dataclass(frozen=True)
class Credits:
    """Everybody who is named."""

    cast: list[CastMember] = field(default_factory=list)
    crew: list[CrewMember] = field(default_factory=list)


@dataclass(frozen=True)
class Keywords:
    """TMDB puts the list one level down."""

    keywords: list[Term] = field(default_factory=list)


@dataclass(frozen=True)
class Details:
    """A movie. TMDB writes an empty text, a zero or a null for what it does not know."""

    id: int
    imdb_id: str | None = None
    title: str | None = None
    original_title: str | None = None
    original_language: str | None = None
    overview: str | None = None
    tagline: str | None = None
    status: str | None = None
    release_date: str | None = None
    runtime: int | None = None
    budget: int | None = None
    revenue: int | None = None
    popularity: float | None = None
    vote_average: float | None = None
    vote_count: int | None = None
    adult: bool | None = None
    poster_path: str | None = None
    genres: list[Term] = field(default_factory=list)
    credits: Credits = field(default_factory=Credits)
    keywords: Keywords = field(default_factory=Keywords)

    def movie_row(self, movie_id: int) -> Row:
        """The row of `movies`."""
        return (
            movie_id,
            self.id,
            _text(self.imdb_id),
            _text(self.title),
            _text(self.original_title),
            _text(self.original_language),
            _text(self.overview),
            _text(self.tagline),
            _text(self.status),
            _date(self.release_date),
            self.runtime or None,
            self.budget or None,
            self.revenue or None,
            self.popularity,
            self.vote_average if self.vote_count else None,
            self.vote_count,
            self.adult,
            _text(self.poster_path),
        )

    def people_rows(self) -> Iterator[Row]:
        """A row of `people` for every mention."""
        for person in (*self.credits.cast, *self.credits.crew):
            department, profile = _text(person.known_for_department), _text(person.profile_path)
            yield person.id, _text(person.name), person.gender or None, department, profile

    def role_rows(self, movie_id: int) -> Iterator[Row]:
        """Rows of `movie_people`, each once."""
        cast = (
            (movie_id, one.id, ACTING, ACTOR, _text(one.character), one.order) for one in self.credits.cast
        )
        crew = (
            (movie_id, one.id, _text(one.department), _text(one.job), None, None) for one in self.credits.crew
        )
        return iter(dict.fromkeys((*cast, *crew)))

    def term_rows(self, movie_id: int) -> Iterator[Row]:
        """Rows of `movie_terms`, each once."""
        kinds = (("genre", self.genres), ("keyword", self.keywords.keywords))
        found = {(kind, term.id): _text(term.name) for kind, terms in kinds for term in terms}
        return ((movie_id, *key, name) for key, name in found.items())


_DETAILS = TypeAdapter(Details)


def parse(body: bytes, where: str) -> Details:
    """The details in an answer.

    Args:
        where: named in the error.

    Raises:
        DataError: something is missing or of another type.
    """
    try:
        return _DETAILS.validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole answer"
        raise DataError(
            f"{where} is no answer of TMDB about a movie ({place}: {first['msg']}); delete it and run "
            "experiments/crawl_metadata.py again"
        ) from error


def _text(value: str | None) -> str | None:
    return (value or "").strip() or None


def _date(value: str | None) -> date | None:
    """TMDB's dates are typed in by people; what is none is unknown."""
    try:
        return date.fromisoformat(value or "")
    except ValueError:
        return None
