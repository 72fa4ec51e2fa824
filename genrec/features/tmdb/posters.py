"""Posters of a MovieLens catalogue, one file per movie."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from genrec.features.tmdb.client import Connection
from genrec.features.tmdb.files import put
from genrec.features.tmdb.host import Unavailable, Unusable
from genrec.features.tmdb.images import as_jpeg, is_whole

NO_POSTER = "no poster on TMDB"

_PATH = re.compile(r"/\w[\w.-]*")


@dataclass(frozen=True)
class _Details:
    poster_path: str | None = None


_DETAILS = TypeAdapter(_Details)


class PosterStore:
    """`<folder>/<movieId>.jpg`: JPEG files as TMDB serves them; what it serves in another format is encoded as JPEG.

    Args:
        folder: by convention `posters` in the dataset's folder.
    """

    label = "posters"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, movie_id: int) -> Path:
        """Where a movie's poster is or goes."""
        return self.folder / self._name(movie_id)

    def has(self, movie_id: int) -> bool:
        """Whether there is a poster that decodes to its end."""
        path = self.path(movie_id)
        return path.is_file() and is_whole(path)

    def fetch(self, movie_id: int, tmdb_id: int, connection: Connection) -> None:
        """Ask where the poster is, get it, decode it, and put it there."""
        address = connection.movie(tmdb_id, _poster_path)
        if address is None:
            raise Unavailable(NO_POSTER)
        content = connection.poster(address, as_jpeg)
        put(self.folder, self._name(movie_id), content)

    def _name(self, movie_id: int) -> str:
        return f"{movie_id}.jpg"


def _poster_path(body: bytes) -> str | None:
    try:
        path = _DETAILS.validate_json(body).poster_path
    except ValidationError:
        raise Unusable("details are no JSON object of a movie") from None
    if path and not _PATH.fullmatch(path):
        raise Unusable("details name a poster by something else than a path")
    return path or None
