"""One host, asked by many threads: connections, time-outs, bounded attempts."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

import requests
import requests.auth
import urllib3.exceptions

from genrec import __version__
from genrec.errors import DataError
from genrec.features.tmdb.pacing import TokenBucket, backoff, retry_after

T = TypeVar("T")

MOST_BYTES = 64 << 20
"""An answer beyond this is none that TMDB gives."""

_TRANSIENT = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
_TROUBLE: tuple[tuple[type[Exception], str], ...] = (  # the first that fits; their own texts hold addresses
    (requests.Timeout, "time-out"),
    (requests.exceptions.ChunkedEncodingError, "answer cut off"),
    (requests.exceptions.SSLError, "no secure connection"),
    (requests.ConnectionError, "no connection"),
    (requests.RequestException, "unreadable answer"),
    (urllib3.exceptions.HTTPError, "unreadable answer"),
)


class Unavailable(Exception):  # noqa: N818 - it says what something is, not what went wrong here
    """Something cannot be had; the text is the reason, for the list of failures.

    Attributes:
        status: of the answer that settled it, or None.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class Unusable(Exception):  # noqa: N818 - as above
    """An answer came but is not what it should be; asking again may help. The text says what is wrong."""


class Stopped(Exception):  # noqa: N818 - as above
    """The work was told to stop."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for what, in seconds.

    Attributes:
        timeout: to connect, and between two pieces of an answer; a whole answer may take six times as long.
        attempts: requests for one thing.
        first_delay: after the first failure; doubles with each further one.
        longest_delay: between two attempts, where the server does not say.
        longest_pause: that a server may ask for; for more, the work stops.
    """

    timeout: float
    attempts: int
    first_delay: float
    longest_delay: float
    longest_pause: float


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    content: bytes


class Host:
    """Gets things from one host over at most `connections` connections. Redirects are not followed.

    Args:
        url: an address of the host; proxies and certificates for it are those of the environment.
        connections: kept open and reused; more threads than that wait for one.
        bucket: of this host.
        stop: once set, every waiting and reading thread raises Stopped.
        sign: puts the key on requests, or None.
    """

    def __init__(
        self,
        url: str,
        connections: int,
        bucket: TokenBucket,
        patience: Patience,
        stop: threading.Event,
        sign: requests.auth.AuthBase | None = None,
    ) -> None:
        self._bucket, self._patience, self._stop = bucket, patience, stop
        self._sessions: queue.LifoQueue[requests.Session] = queue.LifoQueue()
        for _ in range(connections):
            session = requests.Session()
            settings = session.merge_environment_settings(url, {}, None, None, None)
            session.proxies, session.verify = settings["proxies"], settings["verify"]
            session.trust_env = False  # else each request looks them up again, and ~/.netrc for other keys
            session.auth = sign
            session.headers["User-Agent"] = f"genrec/{__version__}"
            self._sessions.put(session)

    def get(self, url: str, accept: Callable[[bytes], T], parameters: Mapping[str, str] | None = None) -> T:
        """What `accept` makes of the body at an address.

        Args:
            accept: raises Unusable for a body that is worth asking for again.

        Raises:
            Unavailable: it is not there, or every attempt failed.
            DataError: the server asks for a longer pause than is sensible to wait for.
            Stopped: the work was told to stop.
        """
        attempts = self._patience.attempts
        for attempt in range(1, attempts + 1):
            try:
                answer = self._ask(url, parameters or {})
                if answer.status == HTTPStatus.OK:
                    return accept(answer.content)
                reason, status = f"HTTP {answer.status}", answer.status
                if status not in _TRANSIENT and status < HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise Unavailable(reason, status)
                asked = retry_after(answer.headers.get("Retry-After"), answer.headers.get("Date"))
            except (requests.RequestException, urllib3.exceptions.HTTPError, Unusable) as error:
                reason, status, asked = _short(error), None, None
            if attempt == attempts:
                break
            self._wait(attempt, asked)
        raise Unavailable(f"{reason} ({attempts} attempts)", status)

    def close(self) -> None:
        """Close the connections that no thread uses."""
        while not self._sessions.empty():
            self._sessions.get_nowait().close()

    def _wait(self, failures: int, asked: float | None) -> None:
        """What the server asked for holds for all threads; else this one waits by itself."""
        if asked is None:
            sleep_unless(
                self._stop, backoff(failures, self._patience.first_delay, self._patience.longest_delay)
            )
        elif asked <= self._patience.longest_pause:
            self._bucket.pause(asked)
        else:
            raise DataError(
                f"the server asks not to be asked for {asked:.0f} s, longer than Tmdb.longest_pause; run the same "
                "command again after that time: it resumes"
            )

    def _ask(self, url: str, parameters: Mapping[str, str]) -> _Answer:
        with self._session() as session:
            with self._bucket.request():
                if self._stop.is_set():
                    raise Stopped
                response = session.get(
                    url,
                    params=parameters,
                    timeout=self._patience.timeout,
                    stream=True,
                    allow_redirects=False,
                )
            with response:
                return _Answer(response.status_code, response.headers, self._body(response))

    def _body(self, response: requests.Response) -> bytes:
        """The whole body, however slowly it drips, within limits of time and size."""
        until = time.monotonic() + 6 * self._patience.timeout
        body = bytearray()
        for piece in response.iter_content(1 << 16):
            body += piece
            if self._stop.is_set():
                raise Stopped
            if len(body) > MOST_BYTES:
                raise Unusable(f"answer of more than {MOST_BYTES >> 20} MiB")
            if time.monotonic() > until:
                raise Unusable("time-out")
        return bytes(body)

    @contextmanager
    def _session(self) -> Iterator[requests.Session]:
        """A connection of one's own; put back in the end."""
        session = self._sessions.get()
        try:
            yield session
        finally:
            self._sessions.put(session)


def sleep_unless(stop: threading.Event, seconds: float) -> None:
    """Sleep; Stopped is raised as soon as `stop` is set."""
    if stop.wait(seconds):
        raise Stopped


def _short(error: Exception) -> str:
    """A reason without addresses, which may hold the key."""
    return next((words for kind, words in _TROUBLE if isinstance(error, kind)), str(error))
