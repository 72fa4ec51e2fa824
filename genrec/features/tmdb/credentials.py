"""The TMDB key: found in the environment or in `.env`, put on requests, and kept out of everything else."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import requests
import requests.auth

from genrec.errors import ConfigError

TOKEN, KEY = "TMDB_ACCESS_TOKEN", "TMDB_API_KEY"
_ADVICE = (
    f"put {KEY}=... (API v3) or {TOKEN}=... (API v4) into the environment or into a file .env in the working "
    "directory; TMDB gives out both at https://www.themoviedb.org/settings/api"
)
_LINE = re.compile(r"""\s*(?:export\s+)?(\w+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s#"'][^#]*)?)\s*(?:#.*)?""")
_LOGGERS = ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry")  # these name addresses


@dataclass(frozen=True)
class Credentials(requests.auth.AuthBase):
    """Signs requests. Its text shows where the key came from, never the key.

    Attributes:
        name: the variable it was found in, which tells the version of the API.
        secret: the key.
    """

    name: str
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\x21-\x7e]+", self.secret):
            raise ConfigError(f"{self.name} holds characters that no key has; copy the key from TMDB again")

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the key on a request: a header for API v4, a query parameter for API v3."""
        if self.name == TOKEN:
            request.headers["Authorization"] = f"Bearer {self.secret}"
        else:
            request.prepare_url(request.url, {"api_key": self.secret})
        return request

    @contextmanager
    def unlogged(self) -> Iterator[None]:
        """While the block runs, what urllib3 logs about addresses shows `***` in place of the key."""
        mask = _Mask(self.secret)
        loggers = [logging.getLogger(name) for name in _LOGGERS]
        for logger in loggers:
            logger.addFilter(mask)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeFilter(mask)


class _Mask(logging.Filter):
    """Replaces a secret in whatever is logged."""

    def __init__(self, secret: str) -> None:
        super().__init__()
        self._secrets = (secret, quote(secret, safe=""))

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record; none is dropped."""
        message = record.getMessage()
        for secret in self._secrets:
            message = message.replace(secret, "***")
        record.msg, record.args = message, ()
        return True


def find_credentials(
    environment: Mapping[str, str] | None = None, dotenv: Path = Path(".env")
) -> Credentials:
    """The key of the environment, else that of the file; where both versions are set, the v4 token.

    Raises:
        ConfigError: there is none, or the file is no text.
    """
    found = _first(os.environ if environment is None else environment) or _first(read_dotenv(dotenv))
    if found is None:
        raise ConfigError(f"there is no TMDB key: {_ADVICE}")
    return found


def _first(variables: Mapping[str, str]) -> Credentials | None:
    named = ((name, variables.get(name, "").strip()) for name in (TOKEN, KEY))
    return next((Credentials(name, secret) for name, secret in named if secret), None)


def read_dotenv(path: Path) -> dict[str, str]:
    """The `NAME=value` lines of a file; empty where there is no file.

    Values may be quoted, lines may begin with `export`, `#` begins a comment; nothing is expanded.
    """
    if not path.is_file():
        return {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path.absolute()} cannot be read as text ({type(error).__name__}); {_ADVICE}"
        ) from None
    found = (_LINE.fullmatch(line) for line in lines)
    return {one[1]: (one[2] or one[3] or one[4] or "").strip() for one in found if one}
