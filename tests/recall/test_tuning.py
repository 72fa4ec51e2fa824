"""Tuning: variants of recallers, proposals that can be repeated, and a table from which a search goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from genrec.errors import ArtifactError, ConfigError
from genrec.recall.ease import Ease
from genrec.recall.itemknn import ItemKnn
from genrec.recall.neural import Training
from genrec.recall.space import Choice, Integers, LogUniform, Uniform
from genrec.recall.tuning import (
    Budget,
    Spaces,
    Trial,
    best_of,
    defaults,
    proposed,
    read_trials,
    search,
    variant,
    write_trials,
)

SPACES: Spaces = {"l2": LogUniform(1.0, 10_000.0), "decay": Uniform(0.5, 1.0)}


@dataclass(frozen=True)
class Network:
    """Stands for a recaller that is trained."""

    width: int = 8
    training: Training = field(default_factory=Training)
    index: str | None = None


def good(recaller: object) -> float:
    """Best at l2 = 100 and decay = 0.8."""
    assert isinstance(recaller, Ease)
    return -abs(recaller.l2 / 100 - 1) - abs(recaller.decay - 0.8)


def test_a_variant_has_the_other_arguments_too() -> None:
    base = Ease(l2=5.0, decay=0.9, batch_size=7)
    made = variant(base, {"l2": 6.0})
    assert (made.l2, made.decay, made.batch_size) == (6.0, 0.9, 7)
    assert base.l2 == 5.0
    assert made is not base


def test_a_dotted_name_is_an_argument_of_an_argument() -> None:
    base = Network(training=Training(epochs=3, learning_rate=0.1))
    values = {"training.epochs": 9, "training.recipe.weight_decay": 0.3, "width": 16}
    made = variant(base, values)
    assert (made.width, made.training.epochs, made.training.learning_rate) == (16, 9, 0.1)
    assert made.training.recipe.weight_decay == 0.3
    assert base.training.recipe.weight_decay != 0.3
    spaces = {"training.epochs": Integers(1, 9), "training.recipe.weight_decay": Uniform(0.0, 0.5)}
    assert defaults(made, spaces) == {"training.epochs": 9, "training.recipe.weight_decay": 0.3}


@pytest.mark.parametrize(
    ("spaces", "said"),
    [
        ({"l3": Uniform(0.0, 1.0)}, "l3 is not an argument of Ease, which has l2, decay"),
        ({"l2.x": Uniform(0.0, 1.0)}, "x is not an argument of float"),
        ({"l2": LogUniform(1.0, 200.0)}, "does not hold its default 300.0"),
    ],
)
def test_defaults_must_be_in_the_space(spaces: Spaces, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        defaults(Ease(), spaces)


def test_the_first_trial_is_the_default_and_the_best_is_no_worse(tmp_path: Path) -> None:
    trials = search(Ease(l2=300.0), SPACES, good, Budget(trials=25), tmp_path / "trials.csv")
    assert trials[0].values == {"l2": 300.0, "decay": 1.0}
    assert len(trials) == 25
    assert trials[0].objective == pytest.approx(-2.2)
    best = best_of(trials)
    assert best.objective is not None
    assert best.objective > -0.5
    assert len({tuple(one.values.values()) for one in trials}) > 20


def test_a_search_that_was_stopped_makes_the_same_trials(tmp_path: Path) -> None:
    spaces = {**SPACES, "batch_size": Choice([256, 512])}
    whole = search(Ease(), spaces, good, Budget(trials=14), tmp_path / "whole.csv")
    table = tmp_path / "parts.csv"
    for trials in (1, 5, 5, 14):
        parts = search(Ease(), spaces, good, Budget(trials=trials), table)
        assert len(parts) == trials
    assert [(one.values, one.objective) for one in parts] == [(one.values, one.objective) for one in whole]
    assert read_trials(table, spaces)[3].values == whole[3].values
    other = search(Ease(), spaces, good, Budget(trials=14, seed=1), tmp_path / "other.csv")
    assert other[1].values != whole[1].values


def test_a_killed_search_keeps_the_trials_before(tmp_path: Path) -> None:
    left = 3

    def dies(recaller: object) -> float:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return good(recaller)

    table = tmp_path / "trials.csv"
    with pytest.raises(KeyboardInterrupt):
        search(Ease(), SPACES, dies, Budget(trials=9), table)
    assert len(read_trials(table, SPACES)) == 3


def test_what_is_refused_is_a_failed_trial_with_its_reason(tmp_path: Path) -> None:
    def picky(recaller: object) -> float:
        assert isinstance(recaller, Ease)
        if recaller.l2 != 300.0:
            raise ConfigError("too\nfar, from home")
        return 1.0

    table = tmp_path / "trials.csv"
    trials = search(Ease(), SPACES, picky, Budget(trials=4), table)
    assert [one.objective for one in trials] == [1.0, None, None, None]
    assert best_of(trials) is trials[0]
    read = read_trials(table, SPACES)
    assert [one.reason for one in read] == ["", *["too far, from home"] * 3]
    assert [one.values for one in read] == [one.values for one in trials]


def test_defaults_that_fail_end_the_search(tmp_path: Path) -> None:
    def never(recaller: object) -> float:
        raise ConfigError("not installed")

    with pytest.raises(ConfigError, match="not installed"):
        search(Ease(), SPACES, never, Budget(), tmp_path / "trials.csv")
    assert not (tmp_path / "trials.csv").exists()


def test_a_setting_that_the_constructor_refuses_fails_alone(tmp_path: Path) -> None:
    trials = search(
        ItemKnn(neighbours=3),
        {"neighbours": Integers(-50, 3)},
        lambda one: 1.0,
        Budget(trials=3),
        tmp_path / "t.csv",
    )
    assert trials[0].objective == 1.0
    assert any("ItemKnn.neighbours" in one.reason for one in trials[1:])


@pytest.mark.parametrize(("minutes", "expected"), [(None, 6), (2.0, 4), (0.5, 1)])
def test_the_budget_counts_earlier_runs(minutes: float | None, expected: int) -> None:
    trials: list[Trial] = []
    budget = Budget(trials=6, minutes=minutes)
    while not budget.spent(trials):
        trials.append(Trial({}, 1.0, 35.0))
    assert len(trials) == expected


@pytest.mark.parametrize(
    ("budget", "said"), [({"trials": 0}, r"Budget\.trials"), ({"minutes": 0.0}, r"Budget\.minutes")]
)
def test_a_budget_must_allow_something(budget: dict[str, int], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Budget(**budget)


def test_proposals_learn_from_the_trials() -> None:
    """After many trials most proposals are near the best; those without any are spread out."""
    trials = [Trial({"x": x / 50}, -abs(x / 50 - 0.7), 1.0) for x in range(51)]
    drawn = [proposed({"x": Uniform(0.0, 1.0)}, trials, seed)["x"] for seed in range(20)]
    near = [x for x in drawn if isinstance(x, float) and abs(x - 0.7) < 0.15]
    assert len(near) > 12


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trial,state\n1,done\n", "does not hold trials of l2, decay"),
        (
            "trial,state,objective,seconds,reason,l2,decay\n0,done,0.1,1.0,,abc def,1.0\n",
            "does not hold trials",
        ),
        (
            "trial,state,objective,seconds,reason,l2,decay\n0,done,0.1,1.0,,90000.0,1.0\n",
            "outside the spaces",
        ),
    ],
)
def test_a_foreign_table_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "trials.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(ArtifactError, match=said):
        read_trials(path, SPACES)


def test_no_table_holds_no_trials(tmp_path: Path) -> None:
    path = tmp_path / "trials.csv"
    assert read_trials(path, SPACES) == []
    write_trials(path, [])
    assert read_trials(path, SPACES) == []
