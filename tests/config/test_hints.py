from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, Optional

import pytest
import tiny_parts as parts
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from genrec.config.command_line import parser
from genrec.config.hints import Reference, argument_types, describe, fits, parameters


class Colour(Enum):
    RED = 1


def made(target: Callable[..., object]) -> Reference:
    return Reference(target, called=True)


def itself(target: Callable[..., object]) -> Reference:
    return Reference(target, called=False)


def seven() -> int:
    return 7


def anything():  # type: ignore[no-untyped-def]
    return 7


FITS = [
    (1, int),
    (1, float),
    (0.5, float),
    ("a", str),
    (None, int | None),
    (None, Optional[int]),  # noqa: UP045 - the old form is used too
    ([1, 2], list[int]),
    ((1, 2), Sequence[int]),
    ([1, 2], Sequence[int]),
    ([1, 2], Iterable[int]),
    ((1, "a"), tuple[int, str]),
    ((1, 2, 3), tuple[int, ...]),
    ({"a": [1]}, Mapping[str, list[int]]),
    ("a", Literal["a", "b"]),
    (Colour.RED, Colour),
    (print, Any),
    (3, Annotated[int, Field(gt=2)]),
    (made(parts.Mlp), parts.Mlp),
    (made(parts.Deep), parts.Mlp),
    (made(parts.Mlp), parts.Encoder),
    (made(parts.Mlp), parts.Mlp | None),
    ([made(parts.Deep), made(parts.Mlp)], Sequence[parts.Mlp]),
    ({"a": made(parts.Mlp)}, dict[str, parts.Mlp]),
    (made(seven), int),
    (made(seven), float),
    (made(anything), str),
    (itself(parts.Mlp), type[parts.Mlp]),
    (itself(parts.Mlp), Callable[..., parts.Mlp]),
    (itself(seven), Callable[[], int] | None),
]
MISFITS = [
    (True, int),
    (True, float),
    (1.0, int),
    ("1", int),
    (1, str),
    (None, int),
    ([1, "a"], list[int]),
    ("ab", Sequence[str]),
    ([1], tuple[int, ...]),
    ((1,), list[int]),
    ((1, 2), tuple[int]),
    ({1: 1}, Mapping[str, int]),
    ("c", Literal["a", "b"]),
    (1, Colour),
    (1, Annotated[int, Field(gt=2)]),
    ("mlp", parts.Mlp),
    ("mlp", parts.Encoder),
    (made(parts.Schedule), parts.Mlp),
    (made(parts.Mlp), parts.Deep),
    ([made(parts.Schedule)], list[parts.Mlp]),
    (made(seven), str),
    (made(parts.Mlp), int),
    (itself(parts.Mlp), parts.Mlp),
    (itself(parts.Mlp), int),
    (itself(parts.Schedule), type[parts.Mlp]),
    (made(parts.Mlp), Callable[..., parts.Mlp]),
    (1, Callable[..., int]),
]


@pytest.mark.parametrize(("value", "hint"), FITS, ids=repr)
def test_what_fits(value: object, hint: Any) -> None:
    assert fits(value, hint)


@pytest.mark.parametrize(("value", "hint"), MISFITS, ids=repr)
def test_what_does_not_fit(value: object, hint: Any) -> None:
    assert not fits(value, hint)


@given(
    st.recursive(st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3), max_leaves=6)
)
def test_a_list_fits_as_far_as_all_of_its_parts_do(value: object) -> None:
    flat = isinstance(value, list) and all(type(part) is int for part in value)
    assert fits(value, list[int]) == flat
    assert fits(value, list[int] | int) == (flat or type(value) is int)


def test_annotations_of_dataclasses_and_of_classes_are_resolved() -> None:
    assert argument_types(parts.Schedule)["warmup"] is int
    assert argument_types(parts.Pair)["parts"] == list[parts.Mlp]
    assert list(parameters(parts.Deep)) == ["width", "hidden", "rate"]
    assert describe(int | None) == "int | None"
    assert describe(parts.Mlp) == "tiny_parts.Mlp"


def test_out_is_a_flag_only_where_there_is_such_a_parameter() -> None:
    assert "--out" not in parser(seven, "x", {}).format_help()
    assert "--max-items MAX_ITEMS" in parser(seven, "x", {"max_items": int}).format_help()
