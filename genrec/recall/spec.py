"""An object as JSON: its class and the arguments it was made with, which it keeps under their names.

Reading makes objects again, and an artifact may come from anywhere, so not every class will do: it must be of
genrec, or of a module that this program has imported already, and it must be what the argument it is for asks for.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import math
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from genrec.errors import ArtifactError, ConfigError

PLAIN = (type(None), bool, int, float, str, list, tuple, Mapping)


def described(value: object, where: str) -> Any:
    """A value as JSON.

    Args:
        where: what it is, for errors: `Ease.l2`.

    Raises:
        ConfigError: it cannot be told in JSON, or an object does not keep its arguments.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [described(one, where) for one in value]
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return {"tuple": [described(one, where) for one in value]}
    if isinstance(value, Mapping):
        return {"mapping": [[described(k, where), described(v, where)] for k, v in value.items()]}
    return {"class": class_name(value, where), "arguments": dict(_arguments(value, where))}


def built(form: Any, hint: Any = Any) -> Any:
    """The value that `described` gave.

    Args:
        hint: the annotation that it is for.

    Raises:
        ArtifactError: it names a class that is not accepted, or does not fit this version of the code.
    """
    if isinstance(form, list):
        return [built(one, hint) for one in form]
    if not isinstance(form, dict):
        return form
    if "class" not in form:
        kind, inner = next(iter(form.items()))
        return READERS[kind](inner, hint)
    found = find_class(form["class"])
    if not _is_asked_for(found, hint):
        raise ArtifactError(
            f"{form['class']} stands where {inspect.formatannotation(hint)} is asked for; make the artifact again"
        )
    hints = _hints(found)
    arguments = {name: built(one, hints.get(name, Any)) for name, one in form["arguments"].items()}
    try:
        return found(**arguments)
    except TypeError as error:
        raise ArtifactError(
            f"{form['class']} of this version of the code cannot be made as it was ({error}); make the artifact again"
        ) from error


READERS: Mapping[str, Callable[[Any, Any], Any]] = {
    "float": lambda text, hint: float(text),
    "tuple": lambda parts, hint: tuple(built(one, hint) for one in parts),
    "mapping": lambda pairs, hint: {built(k, hint): built(v, hint) for k, v in pairs},
}


def class_name(value: object, where: str) -> str:
    """`module:Class` of an object.

    Raises:
        ConfigError: the class could not be found by that name again.
    """
    kind = type(value)
    name = f"{kind.__module__}:{kind.__qualname__}"
    if (
        inspect.isclass(value)
        or inspect.isroutine(value)
        or kind.__module__ in ("builtins", "numpy", "torch")
    ):
        raise ConfigError(
            f"{where} is {value!r:.60}, which cannot be stored; use plain values or objects of a class"
        )
    if "<locals>" in name or kind.__module__ == "__main__":
        raise ConfigError(
            f"{where} is of {name}, which another program could not find again; put the class into a module"
        )
    return name


def find_class(name: str) -> type:
    """The class that `class_name` named.

    Raises:
        ArtifactError: its module is neither of genrec nor imported, or it has no such class.
    """
    module_name, _, path = name.partition(":")
    if module_name not in sys.modules:
        if not module_name.startswith("genrec.") or not _exists(module_name):
            raise ArtifactError(
                f"{name} is of a module that is not imported; add the line `import {module_name}` to the gin file"
            )
        importlib.import_module(module_name)
    found: Any = sys.modules[module_name]
    for part in path.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type) or found.__module__ != module_name:
        raise ArtifactError(
            f"there is no class {path} in {module_name}; use the version of the code that wrote it"
        )
    return found


def _exists(module_name: str) -> bool:
    try:
        return importlib.util.find_spec(module_name) is not None
    except ModuleNotFoundError:  # of the package that it would be in
        return False


def _arguments(value: object, where: str) -> Iterator[tuple[str, Any]]:
    kind = type(value).__name__
    try:
        parameters = inspect.signature(type(value)).parameters
    except ValueError as error:  # of a class written in C
        raise ConfigError(f"{where} is a {kind}, which cannot be stored; use plain values") from error
    for name, parameter in parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ConfigError(
                f"{where}: {kind} takes {parameter}, which cannot be stored; give its arguments names"
            )
        if not hasattr(value, name):
            raise ConfigError(
                f"{where}: {kind} does not keep its argument {name}, so it cannot be stored; let it set self.{name}"
            )
        yield name, described(getattr(value, name), f"{kind}.{name}")


def _hints(kind: type) -> dict[str, Any]:
    """Annotations of a constructor's arguments; none where they exist for the type checker only."""
    annotated = kind if hasattr(kind, "_fields") else kind.__init__  # type: ignore[misc] # of this very class
    try:
        return typing.get_type_hints(annotated)
    except (NameError, TypeError):
        return {}


def _is_asked_for(kind: type, hint: Any) -> bool:
    """Whether an object of a class may stand where an annotation is; anything of genrec where it says nothing."""
    if hint is Any or hint is object or isinstance(hint, typing.TypeVar):
        return kind.__module__.startswith("genrec.")
    inner = [one for one in typing.get_args(hint) if one is not ...]
    if inner and any(_is_asked_for(kind, one) for one in inner):
        return True
    wanted = typing.get_origin(hint) or hint
    if not isinstance(wanted, type):
        return False
    if getattr(wanted, "_is_protocol", False):
        return all(any(name in vars(base) for base in kind.__mro__) for name in _methods(wanted))
    return issubclass(kind, wanted)


def _methods(protocol: type) -> set[str]:
    """The methods that a protocol asks for."""
    bases = [base for base in protocol.__mro__ if getattr(base, "_is_protocol", False)]
    return {
        name
        for base in bases
        for name, value in vars(base).items()
        if callable(value) and (not name.startswith("_") or name == "__call__")
    }
