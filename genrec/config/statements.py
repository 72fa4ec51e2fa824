"""The statements of a gin file, and the words for what is wrong with them."""

from __future__ import annotations

import difflib
import re
import tokenize
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gin import config as gin_config
from gin import config_parser

from genrec.errors import ConfigError


def statements(text: str, source: str, numbered: bool) -> Iterator[Any]:
    """The statements gin's parser finds; its errors become sentences that begin with their place."""
    try:
        parser = config_parser.ConfigParser(text, gin_config.ParserDelegate())
        while statement := parser.parse_statement():
            yield statement
    except (ConfigError, SyntaxError, tokenize.TokenError, ValueError) as error:
        message, line = _explained(error)
        raise ConfigError(
            f"{source}:{line}: {message}" if numbered and line else f"{source}: {message}"
        ) from error


def _explained(error: Exception) -> tuple[str, int | None]:
    """Message and line of what gin's parser raised."""
    if isinstance(error, tokenize.TokenError):
        return f"{error.args[0]}; close the bracket or the quotes", int(error.args[1][0])
    if isinstance(error, SyntaxError):
        token = re.search(r"Failed to parse token '(.*)'", error.msg)
        return (f"{token[1]} is not a value; a text needs quotes" if token else error.msg), error.lineno
    message, _, tail = str(error).partition("\n  In ")  # gin appends the place to other errors
    place = re.search(r"line (\d+)", tail)
    return message, int(place[1]) if place else None


@contextmanager
def placed(where: str) -> Iterator[None]:
    """Errors raised inside begin with a place."""
    try:
        yield
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from error


def find(name: str, folders: Iterable[Path]) -> Path:
    """The file of that name in the first folder that has it."""
    for folder in folders:
        if (folder / name).is_file():
            return (folder / name).resolve()
    near = sorted(path.name for path in Path(name).parent.glob("*.gin"))
    raise ConfigError(f"there is no file {name}{close(Path(name).name, near)}")


def shown(path: Path) -> str:
    """The path as the user would write it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def close(name: str, known: Iterable[str]) -> str:
    """A question that offers the known names most like this one; empty if none is."""
    similar = difflib.get_close_matches(name, [one for one in known if not one.startswith("_")], n=2)
    return f"; did you mean {' or '.join(similar)}?" if similar else ""
