"""Details, credits and keywords of a MovieLens catalogue, as TMDB answers them, one file per movie."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path

from genrec.errors import DataError
from genrec.features.tmdb.client import Connection
from genrec.features.tmdb.files import put
from genrec.features.tmdb.host import Unusable

ALSO = ("credits", "keywords")
"""What comes with the details in one request."""

_SHARDS = 1000
_DAMAGE = (OSError, EOFError, zlib.error)


class MetadataStore:
    """`<folder>/<movieId modulo 1000>/<movieId>.json.gz`: the bytes of the answer, compressed.

    A file per movie needs no index to resume from, and is whole or not there; a thousand folders keep each one small.

    Args:
        folder: by convention `metadata` in the dataset's folder.
    """

    label = "details"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, movie_id: int) -> Path:
        """Where a movie's answer is or goes."""
        return self.folder / self._name(movie_id)

    def has(self, movie_id: int) -> bool:
        """Whether there is an answer that unpacks with the right checksum."""
        path = self.path(movie_id)
        try:
            return path.is_file() and bool(gzip.decompress(path.read_bytes()))
        except _DAMAGE:
            return False

    def fetch(self, movie_id: int, tmdb_id: int, connection: Connection) -> None:
        """Get the answer and put it there."""
        body = connection.movie(tmdb_id, _checked, also=ALSO)
        put(self.folder, self._name(movie_id), gzip.compress(body, mtime=0))

    def read(self, movie_id: int) -> bytes | None:
        """A movie's answer; None where there is none.

        Raises:
            DataError: the file is damaged.
        """
        path = self.path(movie_id)
        try:
            return gzip.decompress(path.read_bytes()) if path.is_file() else None
        except _DAMAGE as error:
            raise DataError(
                f"{path} is damaged ({type(error).__name__}); run experiments/crawl_metadata.py again, which mends it"
            ) from error

    def _name(self, movie_id: int) -> str:
        return f"{movie_id % _SHARDS:03d}/{movie_id}.json.gz"


def _checked(body: bytes) -> bytes:
    """The body, if it is the JSON object of a movie."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Unusable("details are no JSON") from None
    if not isinstance(value, dict) or not isinstance(value.get("id"), int):
        raise Unusable("details are no JSON object of a movie")
    return body
