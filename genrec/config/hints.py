"""Does a configured value fit an annotation? Strict: an int is a float, but a bool is not an int.

The types are checked by pydantic. A `Reference` stands for an object that does not exist yet: a class or
function that will be passed on, or called for its result.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, MutableSequence, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar, Union

from pydantic import PlainValidator, TypeAdapter, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

_SCALARS = (bool, int, float, complex, str, bytes, type(None))
_CONTAINERS = (list, tuple, dict, set, frozenset, Sequence, Mapping, MutableSequence, MutableMapping)


@dataclass(frozen=True)
class Reference:
    """`@target` or, when it is to be called, `@target()`.

    Attributes:
        target: the class or function.
        called: whether its result is meant.
        scopes: the gin scopes it is called in, outermost first.
        selector: its registered name.
    """

    target: Callable[..., object]
    called: bool
    scopes: tuple[str, ...] = ()
    selector: str = ""

    def __repr__(self) -> str:
        name = "/".join((*self.scopes, f"{self.target.__module__}.{self.target.__qualname__}"))
        return f"@{name}{'()' if self.called else ''}"


def parameters(target: Callable[..., object]) -> dict[str, inspect.Parameter]:
    """Parameters of a function or of a class's constructor by name; none where Python does not know them."""
    try:
        return dict(inspect.signature(target).parameters)
    except ValueError:  # some C functions have no signature
        return {}


def argument_types(target: Callable[..., object]) -> dict[str, Any]:
    """Resolved annotations of a function or constructor; none where they exist for the type checker only."""
    function = target.__init__ if inspect.isclass(target) else target
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError):
        return {}


def describe(hint: Any) -> str:
    """The annotation as one writes it."""
    return inspect.formatannotation(hint)


def fits(value: object, hint: Any) -> bool:
    """Whether `value` (data, `Reference`s, or containers of them) may be passed where `hint` is declared."""
    try:
        TypeAdapter(_schema(hint)).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def _schema(hint: Any) -> Any:
    """`hint` with every part taught to accept fitting references, and classes to accept nothing else."""
    if hint is Any or hint is object or isinstance(hint, TypeVar):
        return Any
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return Annotated[_schema(args[0]), *args[1:]]
    if origin in (Union, types.UnionType):
        return Union[tuple(_schema(arg) for arg in args)]  # noqa: UP007 - built at run time
    if origin in (Iterable, Collection):  # pydantic would take these lazily, without looking inside
        origin = Sequence
    if origin in _CONTAINERS:
        inner = origin[tuple(arg if arg is ... else _schema(arg) for arg in args)]
        return Annotated[inner, _or_reference(hint)]
    if origin is Literal or hint in _SCALARS or hint in _CONTAINERS or _is_enum(hint):
        return Annotated[hint, _or_reference(hint)]
    return Annotated[Any, _only_reference(hint)]


def _is_enum(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Enum)


def _or_reference(hint: Any) -> WrapValidator:
    def check(value: object, inner: Callable[[object], object]) -> object:
        fitting = isinstance(value, Reference) and _reference_fits(value, hint)
        return value if fitting else inner(value)

    return WrapValidator(check)


def _only_reference(hint: Any) -> PlainValidator:
    def check(value: object) -> object:
        if isinstance(value, Reference) and _reference_fits(value, hint):
            return value
        raise PydanticCustomError("reference", "not a reference that fits")

    return PlainValidator(check)


def _reference_fits(reference: Reference, hint: Any) -> bool:
    expected = typing.get_origin(hint) or hint
    target = reference.target
    if reference.called:
        made = target if inspect.isclass(target) else argument_types(target).get("return", Any)
        return _is_a(made, expected)
    if expected is type:
        wanted = typing.get_args(hint) or (object,)
        return inspect.isclass(target) and _is_a(target, wanted[0])
    return expected is Callable or getattr(expected, "_is_protocol", False)


def _is_a(made: Any, expected: Any) -> bool:
    """Whether the class `made` is an `expected`; what cannot be known before the run counts as yes."""
    made, expected = typing.get_origin(made) or made, typing.get_origin(expected) or expected
    unknown = made is Any or not (isinstance(made, type) and isinstance(expected, type))
    if unknown or getattr(expected, "_is_protocol", False):
        return True
    return issubclass(made, expected) or (made is int and expected is float)
