"""Bindings of other arguments: they reach objects bound with scopes, without, and not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import gin
import pytest

from genrec import config
from genrec.config.overrides import overrides


@dataclass(frozen=True)
class Rate:
    """Innermost."""

    start: float = 1.0
    steps: int = 5


@dataclass(frozen=True)
class Plan:
    """Between."""

    epochs: int = 1
    rate: Rate = field(default_factory=Rate)


@dataclass(frozen=True)
class Net:
    """Outermost."""

    width: int = 8
    plan: Plan = field(default_factory=Plan)


IMPORT = """
from __gin__ import dynamic_registration
import test_overrides as test_overrides
"""
VALUES: Mapping[str, object] = {"plan.rate.start": 0.5, "width": 16, "plan.epochs": 9}
MADE: list[tuple[Net, str]] = []


def entry(*, net: Net) -> None:
    """What is configured."""
    MADE.append((net, overrides(entry, "net", net, VALUES)))


@pytest.fixture(autouse=True)
def _clean_gin() -> Iterator[None]:
    MADE.clear()
    yield
    gin.clear_config()


SCOPED = """
NET = @a/test_overrides.Net()
entry.net = %NET
a/test_overrides.Net.plan = @b/test_overrides.Plan()
b/test_overrides.Plan.epochs = 3
b/test_overrides.Plan.rate = @c/test_overrides.Rate()
c/test_overrides.Rate.steps = 7
test_overrides.Rate.steps = 8
"""


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("entry.net = @test_overrides.Net()", 5),
        ("entry.net = @a/test_overrides.Net()\na/test_overrides.Net.width = 9", 5),
        ("entry.net = @test_overrides.Net()\ntest_overrides.Net.plan = @b/test_overrides.Plan()", 5),
        (SCOPED, 7),
    ],
)
def test_other_arguments_arrive_and_the_rest_is_kept(
    tmp_path: Path, text: str, steps: int, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / "net.gin", tmp_path / "best.gin"]
    files[0].write_text(IMPORT + text, "utf-8")
    assert config.main(entry, description=None, argv=[str(files[0])]) == 0, capsys.readouterr().err
    before, lines = MADE[0]
    assert before.plan.rate == Rate(1.0, steps)
    files[1].write_text(lines, "utf-8")
    assert config.main(entry, description=None, argv=[str(file) for file in files]) == 0, (
        capsys.readouterr().err
    )
    assert MADE[1][0] == Net(16, Plan(9, Rate(0.5, steps)))


def other(*, size: int) -> None:
    """Has nothing to give arguments to."""
    overrides(other, "size", size, {"real": 1})


def test_what_is_not_an_object_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert config.main(other, description=None, argv=["--gin", "other.size = 3"]) == 2
    assert "other.size is not bound to an object" in capsys.readouterr().err
