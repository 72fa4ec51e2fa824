"""The part of TMDB's API that is used here: configuration, movie details, posters."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from genrec.errors import ConfigError, DataError
from genrec.features.tmdb.credentials import KEY, TOKEN, Credentials
from genrec.features.tmdb.host import Host, Patience, Unavailable, Unusable, sleep_unless
from genrec.features.tmdb.pacing import TokenBucket

T = TypeVar("T")

NO_MOVIE = "no such movie on TMDB (HTTP 404)"
NO_IMAGE = "no such image at TMDB (HTTP 404)"


@dataclass(frozen=True)
class _Images:
    secure_base_url: str
    poster_sizes: list[str]


@dataclass(frozen=True)
class _Configuration:
    images: _Images


_CONFIGURATION = TypeAdapter(_Configuration)


class Tmdb:
    """Where TMDB is, and how gently it is asked. TMDB allows about 40 requests a second and 20 image connections.

    Args:
        api_url: address of API version 3; keys of version 4 work there too.
        image_url: address of the images; None takes what the API's configuration says.
        size: of posters: `w500` or another width, or `original`; the nearest width that exists is taken.
        rate: requests per second that a host sees at most; two addresses on one host share it.
        api_workers: threads, each with at most one request at a time.
        image_connections: connections to the image host.
        timeout: seconds to connect, and between two pieces of an answer.
        attempts: requests for one thing before it counts as failed.
        first_delay: seconds after a first failure; doubles with each further one.
        longest_delay: seconds between two attempts, where the server does not say.
        longest_pause: seconds that `Retry-After` may ask for; for more, the work stops.
    """

    def __init__(
        self,
        api_url: str = "https://api.themoviedb.org/3",
        image_url: str | None = None,
        size: str = "w500",
        rate: int = 35,
        api_workers: int = 50,
        image_connections: int = 20,
        timeout: float = 10.0,
        attempts: int = 6,
        first_delay: float = 0.5,
        longest_delay: float = 30.0,
        longest_pause: float = 300.0,
    ) -> None:
        for name, url in (("api_url", api_url), ("image_url", image_url)):
            if url is not None and not re.fullmatch(r"https?://[^/?#\s]+(/[^?#\s]*)?", url):
                raise ConfigError(f"Tmdb.{name} must be an http(s) address without a query, got {url!r}")
        if not re.fullmatch(r"w[1-9]\d*|original", size):
            raise ConfigError(f"Tmdb.size must be a width such as 'w500', or 'original', got {size!r}")
        counts = {
            "rate": rate,
            "api_workers": api_workers,
            "image_connections": image_connections,
            "attempts": attempts,
        }
        for name, count in counts.items():
            if count < 1:
                raise ConfigError(f"Tmdb.{name} must be at least 1, got {count}")
        for name, seconds in (("timeout", timeout), ("first_delay", first_delay)):
            if not seconds > 0:
                raise ConfigError(f"Tmdb.{name} must be above 0 seconds, got {seconds}")
        for name, seconds in (("longest_delay", longest_delay), ("longest_pause", longest_pause)):
            if not seconds >= first_delay:
                raise ConfigError(f"Tmdb.{name} must be at least Tmdb.first_delay, got {seconds}")
        self.api_url = api_url.rstrip("/")
        self.image_url = None if image_url is None else image_url.rstrip("/")
        self.size = size
        self.rate, self.api_workers, self.image_connections = rate, api_workers, image_connections
        self.patience = Patience(timeout, attempts, first_delay, longest_delay, longest_pause)

    @contextmanager
    def connect(self, credentials: Credentials) -> Iterator[Connection]:
        """A connection for the length of the block; its first request shows whether TMDB takes the key.

        Raises:
            ConfigError: the key is refused.
            DataError: TMDB cannot be reached.
        """
        connection = Connection(self, credentials)
        try:
            with credentials.unlogged():
                connection.open()
                yield connection
        finally:
            connection.close()


class Connection:
    """TMDB as seen by all threads of a process."""

    def __init__(self, tmdb: Tmdb, credentials: Credentials) -> None:
        self.workers = tmdb.api_workers
        self._tmdb, self._credentials = tmdb, credentials
        self._stop = threading.Event()
        self._buckets: dict[str, TokenBucket] = {}  # host -> its bucket
        self._api = self._host(tmdb.api_url, tmdb.api_workers, credentials)
        self._images: Host | None = None
        self._poster_url = ""

    def open(self) -> None:
        """Ask for the configuration, and learn from it where posters are."""
        try:
            images = self._ask("configuration", _configuration).images
        except Unavailable as error:
            raise DataError(
                f"TMDB at {self._tmdb.api_url} does not answer as it should ({error}); check the network and "
                "Tmdb.api_url, then run the same command again"
            ) from None
        base = self._tmdb.image_url or images.secure_base_url.rstrip("/")
        self._poster_url = f"{base}/{nearest_size(self._tmdb.size, images.poster_sizes)}"
        self._images = self._host(base, self._tmdb.image_connections)

    def movie(self, tmdb_id: int, accept: Callable[[bytes], T], also: Sequence[str] = ()) -> T:
        """What `accept` makes of a movie's details.

        Args:
            also: further answers that come with it in the same request, such as `credits`.

        Raises:
            Unavailable: there is no such movie, or every attempt failed.
        """
        parameters = {"append_to_response": ",".join(also)} if also else {}
        try:
            return self._ask(f"movie/{tmdb_id}", accept, parameters)
        except Unavailable as error:
            if error.status == HTTPStatus.NOT_FOUND:
                raise Unavailable(NO_MOVIE, error.status) from None
            raise

    def poster(self, path: str, accept: Callable[[bytes], T]) -> T:
        """What `accept` makes of the image at a poster path such as `/abc.jpg`.

        Raises:
            Unavailable: there is no such image, or every attempt failed.
        """
        assert self._images is not None  # opened
        try:
            return self._images.get(f"{self._poster_url}{path}", accept)
        except Unavailable as error:
            if error.status == HTTPStatus.NOT_FOUND:
                raise Unavailable(NO_IMAGE, error.status) from None
            raise Unavailable(f"image: {error}", error.status) from None

    def stop(self) -> None:
        """Make all threads that wait or read raise Stopped."""
        self._stop.set()

    def close(self) -> None:
        """Close what is open."""
        self.stop()
        self._api.close()
        if self._images is not None:
            self._images.close()

    def _ask(self, what: str, accept: Callable[[bytes], T], parameters: dict[str, str] | None = None) -> T:
        try:
            return self._api.get(f"{self._tmdb.api_url}/{what}", accept, parameters)
        except Unavailable as error:
            if error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                raise ConfigError(
                    f"TMDB refuses the key in {self._credentials.name} (HTTP {error.status}); a v3 key belongs into "
                    f"{KEY}, a v4 read access token into {TOKEN}, both from https://www.themoviedb.org/settings/api"
                ) from None
            raise

    def _host(self, url: str, connections: int, sign: Credentials | None = None) -> Host:
        name = urlsplit(url).netloc
        if name not in self._buckets:
            self._buckets[name] = TokenBucket(
                self._tmdb.rate, sleep=lambda seconds: sleep_unless(self._stop, seconds)
            )
        return Host(url, connections, self._buckets[name], self._tmdb.patience, self._stop, sign)


def _configuration(body: bytes) -> _Configuration:
    try:
        found = _CONFIGURATION.validate_json(body)
    except ValidationError:
        raise Unusable("its configuration names no images") from None
    if not found.images.poster_sizes:
        raise Unusable("its configuration names no poster sizes")
    return found


def nearest_size(wanted: str, sizes: Sequence[str]) -> str:
    """The size of that name, else the one whose width is nearest (of two, the larger), else the last.

    Args:
        sizes: such as `w342`, `w500`, `original`; not empty.
    """
    widths = [(int(name[1:]), name) for name in sizes if re.fullmatch(r"w\d+", name)]
    if wanted in sizes or not widths or wanted == "original":
        return wanted if wanted in sizes else sizes[-1]
    target = int(wanted[1:])
    return min(widths, key=lambda one: (abs(one[0] - target), -one[0]))[1]
