"""What TMDB says about a movie, as a text for sentence encoders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc

from genrec.data.tables import ItemTable
from genrec.errors import ConfigError
from genrec.features.described import by_item
from genrec.features.tmdb.details import ACTING
from genrec.features.tmdb.star import Star, load_star

FIELDS = ("overview", "directors", "cast", "keywords")
"""What a text is made of unless told otherwise, in this order."""


class MovieText:
    """Overview, directors, leading cast and keywords from the tables that `experiments/process_metadata.py` writes.

    For instance: `A ranger lands among toys. Directed by Ann Lee. With Bo Day, Cy Roe. Keywords: toy, rivalry.`

    Args:
        folder: of the tables, `out/<dataset>/metadata`.
        fields: some of overview, tagline, directors, cast, genres, keywords; in the order of the text.
        top_cast: how many of the cast, in the order of the billing.
    """

    def __init__(self, folder: str, fields: Sequence[str] = FIELDS, top_cast: int = 5) -> None:
        unknown = [name for name in fields if name not in _READERS]
        if unknown or not fields:
            raise ConfigError(f"MovieText.fields must be some of {list(_READERS)}, got {list(fields)}")
        if top_cast < 1:
            raise ConfigError(f"MovieText.top_cast must be at least 1, got {top_cast}")
        self.folder = Path(folder)
        self.fields = tuple(fields)
        self.top_cast = top_cast
        self.name = f"MovieText(fields={list(fields)}, top_cast={top_cast})"

    def texts(self, items: ItemTable) -> list[str]:
        """One text per item [N]; empty for movies that TMDB does not know.

        Raises:
            ArtifactError: the tables are missing or damaged.
            DataError: they are of another catalogue.
        """
        star = load_star(self.folder)
        whole = pd.Series("", index=star.movies["movie_id"].to_pandas(), dtype=object)
        for name in self.fields:
            part = _READERS[name](star, self.top_cast).reindex(whole.index).fillna("")
            whole = whole.str.cat(part, sep=" ").str.strip()
        return by_item(items, whole, str(self.folder))


def _overview(star: Star, top_cast: int) -> pd.Series:
    return _column(star, "overview")


def _tagline(star: Star, top_cast: int) -> pd.Series:
    return _column(star, "tagline")


def _directors(star: Star, top_cast: int) -> pd.Series:
    directing = star.movie_people.filter(pc.equal(star.movie_people["job"], "Director")).to_pandas()
    return _listed("Directed by", _named(star, directing))


def _cast(star: Star, top_cast: int) -> pd.Series:
    acting = star.movie_people.filter(pc.equal(star.movie_people["department"], ACTING)).to_pandas()
    acting = acting.sort_values(["movie_id", "order", "person_id"], na_position="last", kind="stable")
    acting = acting.drop_duplicates(["movie_id", "person_id"])  # some play several parts
    return _listed("With", _named(star, acting.groupby("movie_id").head(top_cast)))


def _genres(star: Star, top_cast: int) -> pd.Series:
    return _listed("Genres:", _terms(star, "genre"))


def _keywords(star: Star, top_cast: int) -> pd.Series:
    return _listed("Keywords:", _terms(star, "keyword"))


_READERS = {
    "overview": _overview,
    "tagline": _tagline,
    "directors": _directors,
    "cast": _cast,
    "genres": _genres,
    "keywords": _keywords,
}
"""Each gives texts by movie id, for some of the movies."""


def _column(star: Star, name: str) -> pd.Series:
    """A column of `movies`."""
    values = star.movies[name].to_pylist()
    return pd.Series(values, index=star.movies["movie_id"].to_pandas(), dtype=object)


def _named(star: Star, roles: pd.DataFrame) -> pd.Series:
    """Names by movie id, in the order of the roles."""
    names = pd.Series(
        star.people["name"].to_pylist(), index=star.people["person_id"].to_pandas(), dtype=object
    )
    return pd.Series(names.reindex(roles["person_id"]).to_numpy(), index=roles["movie_id"], dtype=object)


def _terms(star: Star, kind: str) -> pd.Series:
    """Names of genres or keywords by movie id."""
    terms = star.movie_terms.filter(pc.equal(star.movie_terms["kind"], kind))
    return pd.Series(terms["name"].to_pylist(), index=terms["movie_id"].to_pandas(), dtype=object)


def _listed(start: str, names: pd.Series) -> pd.Series:
    """One sentence per movie id that occurs: `start` and the names, with commas."""
    lists = names.dropna().groupby(level=0, sort=False).agg(", ".join)
    return start + " " + lists + "."
