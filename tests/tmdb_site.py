"""A server on this machine that speaks TMDB's API, and misbehaves as each movie's plan says.

What a movie's requests meet, one after the other, is a sequence of `Reply`s for its details and one for its image;
the last one is repeated.
"""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image

KEY = "b5f0c1d2e3a4958677f00dfeedc0ffee"
SIZES = ["w92", "w342", "w500", "w780", "original"]


@dataclass(frozen=True)
class Reply:
    """One answer.

    Attributes:
        body: of the answer.
        delay: seconds before it.
        cut: bytes left out although Content-Length counts them.
    """

    body: bytes = b"{}"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: int = 0


@dataclass(frozen=True)
class Plan:
    """What is answered about one movie."""

    details: Sequence[Reply]
    image: Sequence[Reply] = (Reply(status=404),)


@dataclass
class Site:
    """The server's state.

    Attributes:
        plans: by TMDB id.
        seen: (moment, path) of every request, in order.
        unsigned: requests to the API that did not carry the key.
        leaked: requests to the image server that did carry it.
    """

    plans: dict[int, Plan] = field(default_factory=dict)
    address: str = ""
    seen: list[tuple[float, str]] = field(default_factory=list)
    unsigned: int = 0
    leaked: int = 0
    _turns: Counter[tuple[int, str]] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    @property
    def bindings(self) -> list[str]:
        """For a script's command line: this server, short waits."""
        return [f"client.Tmdb.api_url = '{self.address}/3'", "client.Tmdb.first_delay = 0.01"]

    def heal(self, plans: Mapping[int, Plan]) -> None:
        """Answer differently from now on."""
        self.plans.update(plans)
        self._turns.clear()

    def requests_of(self, kind: str, since: float = 0.0) -> Counter[int]:
        """How often each movie's `movie` or `image` was asked for."""
        asked = (path.split("/") for moment, path in self.seen if moment >= since)
        return Counter(int(parts[-1].split(".")[0]) for parts in asked if kind in parts)

    def busiest_second(self) -> int:
        """The most requests within any second."""
        moments, first, most = [moment for moment, _ in self.seen], 0, 0
        for last, moment in enumerate(moments):
            while moment - moments[first] >= 1.0:
                first += 1
            most = max(most, last - first + 1)
        return most

    def answer(self, path: str, query: dict[str, list[str]], bearer: str) -> Reply:
        """The reply to a request, which is noted."""
        signed = query.get("api_key") == [KEY] or bearer == f"Bearer {KEY}"
        parts = path.strip("/").split("/")
        with self._lock:
            self.seen.append((time.monotonic(), path))
            if parts[0] == "image":
                self.leaked += signed
            elif not signed:
                self.unsigned += 1
                return Reply(b'{"status_code": 7, "status_message": "Invalid API key"}', status=401)
            if parts[-1] == "configuration":
                images = {"secure_base_url": f"{self.address}/image/", "poster_sizes": SIZES}
                return Reply(json.dumps({"images": images}).encode())
            movie = int(parts[-1].split(".")[0])
            plan = self.plans.get(movie, Plan([Reply(status=404)]))
            replies = plan.image if parts[0] == "image" else plan.details
            turn = self._turns[movie, parts[0]]
            self._turns[movie, parts[0]] += 1
        return replies[min(turn, len(replies) - 1)]


@contextmanager
def serving(plans: Mapping[int, Plan]) -> Iterator[Site]:
    """The server for the length of the block."""
    site = Site(dict(plans))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections stay open, as they do at TMDB
        disable_nagle_algorithm = True
        wbufsize = -1  # head and body in one piece

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            reply = site.answer(url.path, parse_qs(url.query), self.headers.get("Authorization", ""))
            time.sleep(reply.delay)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) - reply.cut])
            self.wfile.flush()
            self.close_connection = bool(reply.cut)

        def handle(self) -> None:
            try:
                super().handle()
            except (ConnectionError, TimeoutError):
                """The client gave up."""

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 256
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that was killed is no news."""

    with Server(("127.0.0.1", 0), Handler) as server:
        site.address = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        server.shutdown()
        thread.join()


def details(tmdb_id: int, poster: bool = True, more: Mapping[str, Any] | None = None) -> Reply:
    """A movie's details, with the path of its poster."""
    path = f"/{tmdb_id}.jpg" if poster else None
    return Reply(
        json.dumps({"id": tmdb_id, "title": f"Film {tmdb_id}", "poster_path": path, **(more or {})}).encode()
    )


def colour(number: int) -> tuple[int, int, int]:
    """A colour of its own for each of 3,375 movies, far enough apart to survive JPEG."""
    return number % 15 * 17, number // 15 % 15 * 17, number // 225 % 15 * 17


def picture(number: int, kind: str = "JPEG") -> bytes:
    """A small poster in the movie's colour."""
    file = io.BytesIO()
    Image.new("RGB", (24, 36), colour(number)).save(file, kind)
    return file.getvalue()


def shown(content: bytes) -> tuple[int, int, int]:
    """The colour that a poster shows, rounded to those of `colour`."""
    with Image.open(io.BytesIO(content)) as image:
        pixel = image.convert("RGB").getpixel((12, 18))
    assert isinstance(pixel, tuple)
    red, green, blue = (round(value / 17) * 17 for value in pixel)
    return red, green, blue


def write_release(folder: Any, tmdb_ids: Sequence[int | None]) -> None:
    """A MovieLens release of movies 1, 2, ... with these TMDB ids."""
    folder.mkdir(parents=True)
    numbers = range(1, len(tmdb_ids) + 1)
    links = [f"{n},{n:07d},{'' if tmdb is None else tmdb}" for n, tmdb in zip(numbers, tmdb_ids, strict=True)]
    tables = {
        "movies": ["movieId,title,genres", *(f"{n},Film {n} (1999),Drama" for n in numbers)],
        "links": ["movieId,imdbId,tmdbId", *links],
        "ratings": ["userId,movieId,rating,timestamp", *(f"{n % 7 + 1},{n},4,{n}" for n in numbers)],
    }
    for name, lines in tables.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", "utf-8")
