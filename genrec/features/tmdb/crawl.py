"""The work that posters and metadata share: many threads, a list of failures, and an end at any moment."""

from __future__ import annotations

import fcntl
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

import pandas as pd
from tqdm import tqdm

from genrec.data.tables import ItemTable
from genrec.errors import DataError
from genrec.features.tmdb.client import Connection
from genrec.features.tmdb.failures import FailureList, Movie
from genrec.features.tmdb.files import sweep
from genrec.features.tmdb.host import Unavailable

NO_TMDB_ID = "no TMDB id in links.csv"


class Store(Protocol):
    """A folder with one file per movie.

    Attributes:
        folder: the folder.
        label: what a file is, in the plural, such as `posters`.
    """

    folder: Path
    label: str

    def has(self, movie_id: int) -> bool:
        """Whether the movie's file is there, and whole."""
        ...

    def fetch(self, movie_id: int, tmdb_id: int, connection: Connection) -> None:
        """Get the movie's file and put it there atomically; Unavailable says why it cannot be had."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What a run led to.

    Attributes:
        label: of the store.
        tried: movies that were looked at: the catalogue, or those that were on the list.
        new: files that this run fetched.
        failed: reasons, and how many movies of the catalogue are on the list for them.
        failed_path: the list.
    """

    label: str
    tried: int
    new: int
    failed: Counter[str]
    failed_path: Path

    @property
    def sentence(self) -> str:
        """For the user."""
        missing = self.failed.total()
        there = f"{self.tried - missing} of {self.tried} {self.label} are there, {self.new} of them new"
        if not missing:
            return there
        reasons = ", ".join(f"{count} x {reason}" for reason, count in self.failed.most_common(5))
        more = ", ..." if len(self.failed) > 5 else ""
        return f"{there}; {missing} could not be had, see {self.failed_path} ({reasons}{more})"


def catalogue(items: ItemTable) -> list[Movie]:
    """Every movie of a MovieLens catalogue.

    Raises:
        DataError: the items have no TMDB ids, or ids that are not whole numbers.
    """
    ids = items.frame["item_id"]
    if (
        "tmdb_id" not in items.frame
        or items.frame["tmdb_id"].isna().all()
        or not pd.api.types.is_integer_dtype(ids)
    ):
        raise DataError(
            "the dataset has no TMDB ids; put the release's links.csv into its folder, or take a MovieLens release "
            "that has one (ml-latest-small, ml20m, ml25m, ml32m)"
        )
    tmdb = pd.to_numeric(items.frame["tmdb_id"]).astype("Int64").tolist()
    return [
        Movie(int(movie), None if pd.isna(other) else int(other))
        for movie, other in zip(ids.tolist(), tmdb, strict=True)
    ]


def crawl(
    store: Store,
    movies: Sequence[Movie],
    failed_path: Path,
    connection: Connection,
    *,
    retry_failed: bool = False,
) -> Outcome:
    """Fetch what `store` does not have yet.

    Whenever it ends, also by SIGKILL, files are whole, every failure so far is on the list, and another call goes on.

    Args:
        movies: the catalogue.
        failed_path: the list of failures.
        retry_failed: try only what is on the list.

    Raises:
        KeyboardInterrupt: on Ctrl-C and SIGTERM, with a sentence for the user.
        DataError: another process is at work in the folder.
    """
    with _alone(store.folder), _terminable():
        sweep(store.folder)
        failures = FailureList(failed_path)
        work = [movie for movie in movies if movie.movie_id in failures] if retry_failed else movies
        try:
            missing = _missing(store, work, connection)
            for movie in set(work) - set(missing):
                failures.remove(movie.movie_id)
            new = _fetch(store, missing, failures, connection)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"interrupted; the {store.label} so far are in {store.folder}, run the same command again to go on"
            ) from None
        finally:
            failures.close()
            sweep(store.folder)
        failed = Counter(failures.reason(movie.movie_id) for movie in movies if movie.movie_id in failures)
        return Outcome(store.label, len(work), new, failed, failed_path)


def _missing(store: Store, movies: Sequence[Movie], connection: Connection) -> list[Movie]:
    """The movies whose file is not there or not whole."""
    label = f"checking {store.label}"
    there = _in_threads(lambda movie: store.has(movie.movie_id), movies, connection, label, "missing")
    return [movie for movie in movies if not there[movie]]


def _fetch(store: Store, movies: Sequence[Movie], failures: FailureList, connection: Connection) -> int:
    """Fetch the movies' files; how many could be had."""

    def fetch(movie: Movie) -> bool:
        try:
            if movie.tmdb_id is None:
                raise Unavailable(NO_TMDB_ID)
            store.fetch(movie.movie_id, movie.tmdb_id, connection)
        except Unavailable as reason:
            failures.add(movie, str(reason))
            return False
        failures.remove(movie.movie_id)
        return True

    return sum(_in_threads(fetch, movies, connection, store.label, "failed").values())


def _in_threads(
    task: Callable[[Movie], bool], movies: Sequence[Movie], connection: Connection, label: str, negative: str
) -> dict[Movie, bool]:
    """`task` of every movie, in as many threads as the connection allows, behind a bar that counts the negatives."""
    results: dict[Movie, bool] = {}
    screen = sys.stderr.isatty()
    bar = tqdm(total=len(movies), desc=label, unit="movie", mininterval=0.2 if screen else 15.0, leave=screen)
    with ThreadPoolExecutor(connection.workers) as pool, bar:
        futures = {pool.submit(task, movie): movie for movie in movies}
        try:
            for future in as_completed(futures):
                results[futures[future]] = future.result()
                bar.set_postfix({negative: len(results) - sum(results.values())}, refresh=False)
                bar.update()
        except BaseException:
            connection.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which a process loses when it ends, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise DataError(
            f"cannot write into {folder}: {error.strerror}; choose a folder you may write to"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"another process is at work in {folder}; wait for it or stop it") from error
        yield


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM interrupts as Ctrl-C does, where the main thread runs the block."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
