"""The protocol every method is judged by: the same users, targets, histories, cut-offs and checks.

The full catalogue is ranked, never a sample of it (Krichene & Rendle 2020), and a hit is the exact item.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from genrec.data.histories import Histories
from genrec.data.recommendations import Recommendations
from genrec.data.splits import Part, Split
from genrec.errors import ConfigError, DataError
from genrec.evaluation.metrics import accuracy, beyond_accuracy, check_ks, hits


@dataclass(frozen=True)
class EvaluationSet:
    """Users to judge, what they did next, and what was known before.

    Attributes:
        part: `valid` or `test`.
        users: int32 [U], ascending, each with at least one target.
        target_offsets: int64 [U + 1].
        target_items: int32 [M]; row u's targets are `target_items[target_offsets[u]:target_offsets[u + 1]]`,
            distinct, ascending by item.
        history: everything before `part`, of all users.
        item_counts: int64 [N], events per item before `part`, which a recaller may learn from; 0 is cold.
        n_items: N, size of the catalogue.
    """

    part: Part
    users: NDArray[np.int32]
    target_offsets: NDArray[np.int64]
    target_items: NDArray[np.int32]
    history: Histories
    item_counts: NDArray[np.int64]
    n_items: int

    @property
    def n_targets(self) -> NDArray[np.int64]:
        """Targets per user [U]."""
        return np.diff(self.target_offsets)

    @property
    def target_rows(self) -> NDArray[np.int64]:
        """The row in `users` of each target [M]."""
        return np.repeat(np.arange(len(self.users)), self.n_targets)

    def hits(self, recommendations: Recommendations) -> NDArray[np.bool_]:
        """Which recommended items are targets: bool [U, k]."""
        return hits(recommendations.items, self.target_offsets, self.target_items, self.n_items)

    def target_places(self, recommendations: Recommendations) -> NDArray[np.int64]:
        """Place of each target in its user's list, 1 is best: int64 [M]; k + 1 where it is missing."""
        row, column = np.nonzero(self.hits(recommendations))
        found = row.astype(np.int64) * self.n_items + recommendations.items[row, column]
        keys = (
            self.target_rows * self.n_items + self.target_items
        )  # ascending: rows are, and items within them
        places = np.full(len(keys), recommendations.k + 1, dtype=np.int64)
        places[np.searchsorted(keys, found)] = column + 1
        return places

    def block(self, start: int, stop: int) -> EvaluationSet:
        """Users start .. stop - 1 of this set."""
        first, last = self.target_offsets[start], self.target_offsets[stop]
        return replace(
            self,
            users=self.users[start:stop],
            target_offsets=self.target_offsets[start : stop + 1] - first,
            target_items=self.target_items[first:last],
        )

    def describe(self) -> dict[str, int]:
        """Counts of warm and cold users and items, and of targets that no history-based method can reach."""
        cold_users = int((self.history.lengths[self.users] == 0).sum())
        cold_items = int((self.item_counts == 0).sum())
        row, item = self.history.rows(self.users)
        seen = np.isin(self.target_rows * self.n_items + self.target_items, row * self.n_items + item)
        return {
            "users": len(self.users),
            "users_warm": len(self.users) - cold_users,
            "users_cold": cold_users,
            "items": self.n_items,
            "items_warm": self.n_items - cold_items,
            "items_cold": cold_items,
            "targets": len(self.target_items),
            "targets_on_cold_items": int((self.item_counts[self.target_items] == 0).sum()),
            "targets_already_in_history": int(seen.sum()),
        }


def evaluation_set(split: Split, part: Part, max_users: int | None = None, seed: int = 0) -> EvaluationSet:
    """The users that have a target in `part`, or a random sample of `max_users` of them.

    A target that a user has twice in `part` counts once.

    Raises:
        ConfigError: `part` or `max_users` is out of range.
        DataError: nobody has a target in `part`.
    """
    if part not in ("valid", "test"):
        raise ConfigError(f"evaluation_set.part must be 'valid' or 'test', got {part!r}")
    if max_users is not None and (not isinstance(max_users, int) or max_users < 1):
        raise ConfigError(
            f"evaluation_set.max_users must be at least 1 (or None for all users), got {max_users}"
        )
    events = split.valid if part == "valid" else split.test
    if not len(events):
        raise DataError(
            f"the {part} part of the {split.protocol} split has no events; choose a split that leaves some, "
            "or a dataset with longer histories"
        )
    n_items = events.n_items
    keys = np.unique(events.users.astype(np.int64) * n_items + events.items)
    users, targets = keys // n_items, (keys % n_items).astype(np.int32)
    everyone, counts = np.unique(users, return_counts=True)
    if max_users is not None and max_users < len(everyone):
        chosen = np.sort(np.random.default_rng(seed).choice(len(everyone), max_users, replace=False))
        targets = targets[np.isin(users, everyone[chosen])]
        everyone, counts = everyone[chosen], counts[chosen]
    before = split.before(part)
    return EvaluationSet(
        part=part,
        users=everyone.astype(np.int32),
        target_offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        target_items=targets,
        history=Histories.of(before),
        item_counts=before.item_counts(),
        n_items=n_items,
    )


class Recommender(Protocol):
    """What can be judged: the half of a recaller that recommends."""

    def recommend(self, users: NDArray[np.int32], k: int, *, exclude_seen: bool = True) -> Recommendations:
        """The k best items of each user; with `exclude_seen`, none of the user's history."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """One method under one masking.

    Attributes:
        method: its name in tables and in `metrics.json`.
        masked: whether items of the history were excluded.
        recommendations: its lists, in the order of the evaluation set.
        per_user: `ndcg@10` and the like, float64 [U] each.
        summary: means of `per_user`, the figures beyond accuracy, `users`, the number of users judged, and
            `invalid`, the number of ids outside the catalogue (0, or `evaluate` would have raised).
        seconds: wall time of `recommend` for all users.
    """

    method: str
    masked: bool
    recommendations: Recommendations
    per_user: dict[str, NDArray[np.float64]]
    summary: dict[str, float]
    seconds: float

    @property
    def users_per_second(self) -> float:
        """Users served per second of `recommend`."""
        return len(self.recommendations.users) / max(self.seconds, 1e-9)

    @property
    def masking(self) -> str:
        """`masked` or `unmasked`, as in the keys of `metrics.json`."""
        return "masked" if self.masked else "unmasked"


def evaluate(
    recommender: Recommender,
    cases: EvaluationSet,
    ks: Sequence[int] = (5, 10, 20, 50),
    *,
    method: str,
    masked: bool,
    vectors: NDArray[np.floating] | None = None,
) -> Evaluation:
    """Ask for the longest list once, check it, and compute every metric at every cut-off.

    Args:
        recommender: fitted on nothing later than `cases.history`.
        cases: who is judged, and by what.
        ks: cut-offs; one above the size of the catalogue is allowed, its list ends in -1.
        method: name of the method.
        masked: exclude items of the history.
        vectors: item features [N, D] for intra-list diversity, or None to leave it out.

    Raises:
        ConfigError: a cut-off is not a positive whole number.
        ValueError: the lists break their contract (see `check_lists`), which is the recommender's bug.
    """
    ks = check_ks(ks)
    started = time.perf_counter()
    lists = recommender.recommend(cases.users, ks[-1], exclude_seen=masked)
    seconds = time.perf_counter() - started
    check_lists(lists, cases, ks[-1], masked=masked, method=method)
    per_user = accuracy(cases.hits(lists), cases.n_targets, ks)
    summary = {name: float(values.mean()) for name, values in per_user.items()}
    summary |= beyond_accuracy(lists.items, cases.item_counts, ks, vectors)
    summary["users"] = float(len(cases.users))
    summary["invalid"] = float(_outside(lists.items, cases.n_items).sum())
    return Evaluation(method, masked, lists, per_user, summary, seconds)


def check_lists(lists: Recommendations, cases: EvaluationSet, k: int, *, masked: bool, method: str) -> None:
    """Raise ValueError unless lists are for the asked users and length, valid, distinct and in order.

    Metrics of lists that break the contract would flatter: a repeated target would count twice, an item of
    the history is easy to predict, and a score of NaN sorts anywhere.
    """
    items, scores = lists.items, lists.scores
    ordered = np.sort(items, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    complaints = {
        "is for other users than were asked for": not np.array_equal(lists.users, cases.users),
        f"has lists of {lists.k} items instead of {k}": lists.k != k,
        "recommends ids outside the catalogue": bool(_outside(items, cases.n_items).any()),
        "goes on after the end of a list (-1)": bool(((items[:, :-1] < 0) & (items[:, 1:] >= 0)).any()),
        "repeats an item within a list": bool(twice.any()),
        "has scores that are NaN": bool(np.isnan(scores).any()),
        "has scores that rise along a list": bool((scores[:, 1:] > scores[:, :-1]).any()),
    }
    wrong = [complaint for complaint, broken in complaints.items() if broken]
    if not wrong and masked:
        row, item = cases.history.rows(cases.users)
        keys = np.arange(len(items))[:, None] * cases.n_items + items
        if np.any(np.isin(keys[items >= 0], row * cases.n_items + item)):
            wrong = ["recommends items of the history although they are masked"]
    if wrong:
        raise ValueError(
            f"{method}, {'masked' if masked else 'unmasked'}: the recommender {' and '.join(wrong)}"
        )


def _outside(items: NDArray[np.int32], n_items: int) -> NDArray[np.bool_]:
    outside: NDArray[np.bool_] = (items < -1) | (items >= n_items)
    return outside
