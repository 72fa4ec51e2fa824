"""Tuning: the same budget of trials for every recaller, and a table of them from which a stopped run goes on."""

from __future__ import annotations

import csv
import inspect
import io
import sys
import time
from ast import literal_eval
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from genrec.artifacts import write_text
from genrec.errors import ArtifactError, ConfigError, GenrecError
from genrec.recall.base import Recaller
from genrec.recall.space import Space, Value, optuna

T = TypeVar("T")
Spaces = Mapping[str, Space]
"""Argument -> what it may be; `training.epochs` is an argument of the object that is the argument `training`."""
COLUMNS = ("trial", "state", "objective", "seconds", "reason")


@dataclass(frozen=True)
class Trial:
    """One setting, judged.

    Attributes:
        values: by argument.
        objective: higher is better; None where it failed.
        seconds: of fitting and judging.
        reason: why it failed.
    """

    values: Mapping[str, Value]
    objective: float | None
    seconds: float
    reason: str = ""


@dataclass(frozen=True)
class Budget:
    """When to stop.

    Attributes:
        trials: at most so many, the one with the defaults included.
        minutes: no further trial is begun after so many, those of earlier runs included; None sets no limit.
        seed: of the proposals.
    """

    trials: int = 30
    minutes: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise ConfigError(f"Budget.trials must be at least 1, got {self.trials}")
        if self.minutes is not None and not self.minutes > 0:
            raise ConfigError(f"Budget.minutes must be above 0, or None for no limit, got {self.minutes}")

    def spent(self, trials: Sequence[Trial]) -> bool:
        """Whether these are all there shall be."""
        seconds = sum(one.seconds for one in trials)
        late = self.minutes is not None and seconds >= 60 * self.minutes
        return len(trials) >= self.trials or (late and bool(trials))


def search(
    base: Recaller,
    spaces: Spaces,
    judge: Callable[[Recaller], float],
    budget: Budget,
    table: Path,
) -> list[Trial]:
    """Try settings until the budget is spent: the defaults first, then what optuna's TPE proposes from what is known.

    Trials are written to `table` one by one, and read from it at the start. A proposal depends on the trials before it
    and the seed alone, so that a run that was stopped makes the same ones as one that was not.

    Args:
        base: an unfitted recaller with the defaults.
        judge: fits a recaller and says how good it is; what it refuses (a GenrecError) is a failed trial.
        table: a CSV file.

    Raises:
        GenrecError: the defaults are refused, or lie outside a space.
    """
    start = defaults(base, spaces)
    trials = read_trials(table, spaces)
    while not budget.spent(trials):
        values = proposed(spaces, trials, budget.seed) if trials else start
        started = time.perf_counter()
        objective, reason = None, ""
        try:
            objective = judge(variant(base, values))
        except GenrecError as error:
            if not trials:
                raise
            reason = " ".join(str(error).split())
        trials.append(Trial(values, objective, time.perf_counter() - started, reason))
        write_trials(table, trials)
        print(_line(trials), file=sys.stderr)
    return trials


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the highest objective, the first of equals."""
    return max(trials, key=lambda one: -float("inf") if one.objective is None else one.objective)


def defaults(base: object, spaces: Spaces) -> dict[str, Value]:
    """The values that `base` has, by argument.

    Raises:
        ConfigError: there is no such argument, or its value is outside the space.
    """
    found: dict[str, Value] = {}
    for name, space in spaces.items():
        value: Any = base
        for part in name.split("."):
            value = _argument(value, part, name)
        if space.coordinate(value) is None:
            raise ConfigError(
                f"the space of {name}, {space}, does not hold its default {value!r}; widen it, or bind another default"
            )
        found[name] = tuple(value) if isinstance(value, list) else value
    return found


def variant(base: T, values: Mapping[str, object]) -> T:
    """An object built like `base` with other arguments; a dotted name is an argument of the object an argument is."""
    heads = {name.partition(".")[0] for name in values}
    changed: dict[str, Any] = {name: getattr(base, name) for name in _names(base)}
    for head in heads:
        below = {
            name.partition(".")[2]: one for name, one in values.items() if name.partition(".")[0] == head
        }
        changed[head] = below[""] if "" in below else variant(_argument(base, head, head), below)
    return type(base)(**changed)


def proposed(spaces: Spaces, trials: Sequence[Trial], seed: int) -> dict[str, Value]:
    """What to try next: the tree-structured Parzen estimator (Bergstra et al. 2011, section 4) given all trials."""
    package = optuna()
    drawn_from = {name: space.distribution() for name, space in spaces.items()}
    sampler = package.samplers.TPESampler(
        seed=seed + len(trials)
    )  # anew each time: nothing to keep for a resumed run
    study = package.create_study(direction="maximize", sampler=sampler)
    for one in trials:
        if one.objective is not None:
            drawn = {name: space.coordinate(one.values[name]) for name, space in spaces.items()}
            study.add_trial(
                package.trial.create_trial(value=one.objective, params=drawn, distributions=drawn_from)
            )
    drawn = study.ask(drawn_from).params
    return {name: space.value(drawn[name]) for name, space in spaces.items()}


def write_trials(path: Path, trials: Sequence[Trial]) -> None:
    """One row per trial, values as Python writes them."""
    text = io.StringIO()
    names = list(trials[0].values) if trials else []
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *names])
    for number, one in enumerate(trials):
        state = "failed" if one.objective is None else "done"
        objective = "" if one.objective is None else repr(one.objective)
        values = [repr(one.values[name]) for name in names]
        writer.writerow([number, state, objective, f"{one.seconds:.3f}", one.reason, *values])
    write_text(path, text.getvalue())


def read_trials(path: Path, spaces: Spaces) -> list[Trial]:
    """What `write_trials` wrote; no trials where there is no file.

    Raises:
        ArtifactError: the file is of other spaces, or is damaged.
    """
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    trials = []
    for row in rows:
        try:
            values = {name: literal_eval(row[name]) for name in spaces}
            objective = float(row["objective"]) if row["objective"] else None
            trials.append(Trial(values, objective, float(row["seconds"]), row["reason"]))
        except (KeyError, TypeError, ValueError, SyntaxError) as error:
            raise ArtifactError(
                f"{path} does not hold trials of {', '.join(spaces)} ({error}); remove it"
            ) from error
        if any(space.coordinate(values[name]) is None for name, space in spaces.items()):
            raise ArtifactError(
                f"{path} holds trials outside the spaces of now; remove it, or widen them again"
            )
    return trials


def _names(made: object) -> list[str]:
    """Arguments of an object's constructor, under whose names it keeps them."""
    return list(inspect.signature(type(made)).parameters)


def _argument(made: object, name: str, whole: str) -> Any:
    kind = type(made)
    known = [] if kind.__module__ == "builtins" else _names(made)
    if name not in known:
        shown = f"{kind.__name__}, which has {', '.join(known) or 'none'}"
        raise ConfigError(f"the space names {whole}, but {name} is not an argument of {shown}")
    return getattr(made, name)


def _line(trials: Sequence[Trial]) -> str:
    """The last trial, for the terminal."""
    last, best = trials[-1], best_of(trials)
    found = f"failed: {last.reason}" if last.objective is None else f"{last.objective:.4f}"
    values = ", ".join(f"{name}={value}" for name, value in last.values.items())
    return (
        f"trial {len(trials) - 1}: {found} (best {best.objective:.4f}, trial {trials.index(best)}), "
        f"{last.seconds:.1f} s: {values}"
    )
