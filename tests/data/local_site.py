"""A web server on this machine that can cut, refuse and misbehave."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class Site:
    """Files by path, and how the server behaves.

    Attributes:
        cuts: how many bytes each of the next answers sends before the connection breaks.
        ranges: whether it understands them.
        asked: the Range header of each request so far, or None.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    asked: list[str | None] = field(default_factory=list)

    def url(self, name: str) -> str:
        return f"{self.address}/{name}"


def zipped(**members: str) -> bytes:
    """A zip archive; `__` in a name stands for a slash, `_` for a dot."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), text)
    return buffer.getvalue()


@contextmanager
def serving() -> Iterator[Site]:
    """A server of `Site.files` for the length of the block."""
    state = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.asked.append(asked)
            content = state.files.get(self.path.lstrip("/"))
            if content is None:
                self.send_error(404)
                return
            match = re.fullmatch(r"bytes=(\d+)-", asked or "") if state.ranges else None
            start = int(match[1]) if match else 0
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if match else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            until = start + state.cuts.pop(0) if state.cuts else len(content)
            self.wfile.write(content[start:until])

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.address = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        server.shutdown()
        thread.join()
