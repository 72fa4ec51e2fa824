"""Bindings that give a configured object other arguments, written as a gin file to read after the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gin import config as gin_config

from genrec.config.hints import Reference
from genrec.config.reader import registered, resolved
from genrec.errors import ConfigError


def overrides(
    entry: Callable[..., object], parameter: str, made: object, values: Mapping[str, object]
) -> str:
    """A gin file in which the object bound to a parameter of the entry function has these arguments.

    An object inside it that no file binds, for a default makes it, is bound anew, its other arguments by default.

    Args:
        entry: as given to `genrec.config.main`, whose configuration has been read.
        made: the object, which keeps its arguments under their names.
        values: by argument; `training.epochs` is an argument of the object that is the argument `training`.

    Raises:
        ConfigError: the parameter is not bound to an object.
    """
    target = registered(entry)
    bound = resolved(gin_config._CONFIG.get(("", target.selector), {}).get(parameter))
    if not _is_called(bound):
        raise ConfigError(f"{target.name}.{parameter} is not bound to an object, as in @module.Class()")
    modules: set[str] = set()
    lines: dict[str, None] = {}  # distinct, in order
    for path, value in values.items():
        owner, reference = made, bound
        *heads, last = path.split(".")
        for head in heads:
            owner = getattr(owner, head)
            inner = resolved(_bindings(reference).get(head))
            if not _is_called(inner):  # made by a default, so there is nothing to bind arguments of
                inner = Reference(type(owner), True, reference.scopes)
                lines[f"{_name(reference, modules)}.{head} = @{_name(inner, modules)}()"] = None
            reference = inner
        lines[f"{_name(reference, modules)}.{last} = {value!r}"] = None
    imports = [f"import {module} as {module.rpartition('.')[2]}" for module in sorted(modules)]
    return "\n".join(["from __gin__ import dynamic_registration", *imports, "", *lines, ""])


def _is_called(value: Any) -> bool:
    return isinstance(value, Reference) and value.called


def _bindings(reference: Reference) -> dict[str, Any]:
    """What is bound for an object; nothing for one that the configuration does not name."""
    if not reference.selector:
        return {}
    found: dict[str, Any] = gin_config._get_bindings(reference.selector, list(reference.scopes) or [""])
    return found


def _name(reference: Reference, modules: set[str]) -> str:
    """As gin files have it; the module is added to `modules`."""
    target = reference.target
    modules.add(target.__module__)
    return "/".join((*reference.scopes, f"{target.__module__.rpartition('.')[2]}.{target.__qualname__}"))
