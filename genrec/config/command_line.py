"""The command line of every script, and its --help, made from the entry function."""

from __future__ import annotations

import argparse
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from typing import NoReturn

from genrec.config import hints
from genrec.config.options import Named
from genrec.errors import ConfigError


class _Parser(argparse.ArgumentParser):
    """Errors are raised, so that they are printed like all others."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving."""
        raise ConfigError(f"{message}; see --help")


def parser(
    entry: Callable[..., object],
    description: str | None,
    options: Mapping[str, type | Named],
    default_config: str | None = None,
) -> argparse.ArgumentParser:
    """`SCRIPT CONFIG.gin [MORE.gin ...] [--gin BINDING]* [--out DIR]` and the script's own flags."""
    texts = _argument_texts(entry)
    result = _Parser(
        description=(description or "").strip().split("\n\n")[0],
        epilog=_parameter_list(entry, texts),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    usual = f"; {default_config} if none is given" if default_config else ""
    result.add_argument(
        "config", nargs="*", metavar="CONFIG.gin", help=f"gin files, read in order{usual.replace('%', '%%')}"
    )
    result.add_argument(
        "--gin",
        action="append",
        default=[],
        metavar="BINDING",
        help=f'for example "{entry.__name__}.NAME=VALUE"',
    )
    if "out" in hints.parameters(entry):
        result.add_argument("--out", metavar="DIR", help=f"binds {entry.__name__}.out")
    for name, kind in options.items():
        flag = "--" + name.replace("_", "-")
        help_text = texts.get(name, f"binds {entry.__name__}.{name}").replace("%", "%%")
        if kind is bool:
            result.add_argument(flag, dest=name, action="store_true", default=None, help=help_text)
        else:
            kind = str if isinstance(kind, Named) else kind
            result.add_argument(flag, dest=name, type=kind, metavar=name.upper(), help=help_text)
    return result


def _parameter_list(entry: Callable[..., object], texts: Mapping[str, str]) -> str:
    types = hints.argument_types(entry)
    lines = [f"parameters, bound in the gin files or with --gin as {entry.__name__}.NAME = VALUE:"]
    for name, parameter in hints.parameters(entry).items():
        default = "required" if parameter.default is inspect.Parameter.empty else f"= {parameter.default!r}"
        kind = f": {hints.describe(types[name])}" if name in types else ""
        lines.append(f"  {name}{kind} ({default})")
        if name in texts:
            lines.append(textwrap.fill(texts[name], 100, initial_indent=" " * 6, subsequent_indent=" " * 6))
    return "\n".join(lines)


def _argument_texts(entry: Callable[..., object]) -> dict[str, str]:
    """The `Args:` section of the docstring, by parameter."""
    section = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)*)", inspect.getdoc(entry) or "", re.MULTILINE)
    items = re.findall(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", section[1] if section else "", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in items}
