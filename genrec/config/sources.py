"""What gin files say, their includes followed, without carrying it out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from genrec.config.reader import REPOSITORY
from genrec.config.statements import find, shown
from genrec.errors import ConfigError

_INCLUDE = re.compile(r"^[ \t]*include[ \t]+(['\"])(.+?)\1", re.MULTILINE)


def sources(names: Iterable[str]) -> str:
    """The text of gin files and of all that they include.

    Two calls give the same text only if the files would be read alike: a key for results that were made from them.

    Raises:
        ConfigError: a file is missing, or includes itself.
    """
    return "\n".join(_text(find(name, [Path.cwd(), REPOSITORY]), ()) for name in names)


def _text(path: Path, above: tuple[Path, ...]) -> str:
    if path in above:
        raise ConfigError(f"{shown(path)} includes itself; remove one of the includes")
    text = path.read_text(encoding="utf-8-sig")
    folders = [path.parent, *path.parents, Path.cwd(), REPOSITORY]
    included = [_text(find(match[2], folders), (*above, path)) for match in _INCLUDE.finditer(text)]
    return "\n".join([text, *included])
