"""The list of what could not be had: a text file that is right at any moment, also after a kill."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from genrec.errors import DataError

_SECONDS_BETWEEN_REWRITES = 2.0


@dataclass(frozen=True)
class Movie:
    """A movie of the catalogue by its MovieLens id, and its id at TMDB where it has one."""

    movie_id: int
    tmdb_id: int | None


class FailureList:
    """Lines of movieId, tmdbId and reason between tabs, one per movie, and none for what is there.

    A first failure is appended at once. A success or a newer reason takes the old line out, by an atomic rewrite that
    comes within two seconds of the next call, and in the end. Lines of movies that this run does not touch stay.

    Args:
        path: the file; a line that a kill cut off is dropped.
        clock: seconds that only grow.

    Raises:
        DataError: the file cannot be read or written, or holds something else.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._reasons = _read(path)
        self._stale, self._rewritten = False, clock()
        if path.exists():
            self._rewrite()  # without what a kill cut off, to which nothing may be appended

    def __contains__(self, movie_id: int) -> bool:
        return movie_id in self._reasons

    def reason(self, movie_id: int) -> str:
        """Why a movie on the list is there."""
        return self._reasons[movie_id][1]

    def add(self, movie: Movie, reason: str) -> None:
        """Put a movie on the list; from any thread."""
        entry = (movie.tmdb_id, " ".join(reason.split()))
        with self._lock:
            new = movie.movie_id not in self._reasons
            self._stale |= not new and self._reasons[movie.movie_id] != entry
            self._reasons[movie.movie_id] = entry
            if new:
                self._append(_line(movie.movie_id, *entry))
            self._rewrite_now_and_then()

    def remove(self, movie_id: int) -> None:
        """Take a movie off the list, if it is on it; from any thread."""
        with self._lock:
            self._stale |= self._reasons.pop(movie_id, None) is not None
            self._rewrite_now_and_then()

    def close(self) -> None:
        """Leave the file sorted by movie and up to date."""
        with self._lock:
            if self._reasons or self.path.exists():
                self._rewrite()

    def _append(self, line: str) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise _trouble(self.path, "written", error) from error

    def _rewrite_now_and_then(self) -> None:
        if self._stale and self._clock() - self._rewritten > _SECONDS_BETWEEN_REWRITES:
            self._rewrite()

    def _rewrite(self) -> None:
        text = "".join(_line(movie, *self._reasons[movie]) for movie in sorted(self._reasons))
        fresh = self.path.with_name(f".{self.path.name}.new")
        try:
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(self.path)
        except OSError as error:
            raise _trouble(self.path, "written", error) from error
        self._stale, self._rewritten = False, self._clock()


def _read(path: Path) -> dict[int, tuple[int | None, str]]:
    """Movie id -> (TMDB id, reason); the last line of a movie counts."""
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise _trouble(path, "read", error) from error
    whole, _, _ = text.rpartition("\n")
    found: dict[int, tuple[int | None, str]] = {}
    for number, line in enumerate(whole.splitlines(), start=1):
        parts = line.split("\t")
        if len(parts) != 3 or not parts[0].isdigit() or not (parts[1].isdigit() or not parts[1]):
            raise DataError(
                f"{path}, line {number}: movieId, tmdbId and reason between tabs are due; mend or delete the file"
            )
        found[int(parts[0])] = (int(parts[1]) if parts[1] else None, parts[2])
    return found


def _line(movie_id: int, tmdb_id: int | None, reason: str) -> str:
    return f"{movie_id}\t{'' if tmdb_id is None else tmdb_id}\t{reason}\n"


def _trouble(path: Path, done: str, error: Exception) -> DataError:
    why = getattr(error, "strerror", None) or type(error).__name__
    return DataError(f"the list of failures {path} cannot be {done}: {why}; choose another failed_path")
