"""Validation while a model trains: the recall it would give, masked, on validation users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from genrec.errors import ConfigError
from genrec.evaluation.metrics import accuracy
from genrec.evaluation.protocol import EvaluationSet, Recommender, check_lists

FIGURES = ("ndcg", "recall")
BLOCK = 128  # users that stay together: who recommends in blocks of this size sees the same ones, however many judge


class Team(Protocol):
    """Processes that judge together, each some of the users."""

    rank: int
    size: int

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum over the processes of arrays of one shape."""
        ...


@dataclass
class Alone:
    """A team of one."""

    rank: int = 0
    size: int = 1

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values themselves."""
        return values


@dataclass(frozen=True)
class Judge:
    """How validation is done.

    Attributes:
        k: cut-off of the figures.
        max_users: a random sample of this many users; None takes all.
        monitor: the figure that marks the best weights: `generative/ndcg@K`, `embedding/ndcg@K`, or
            `mean/ndcg@K` over both, with K the cut-off.
    """

    k: int = 10
    max_users: int | None = 10_000
    monitor: str = "generative/ndcg@10"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ConfigError(f"Judge.k must be at least 1, got {self.k}")
        known = [f"{m}/ndcg@{self.k}" for m in ("generative", "embedding", "mean")]
        if self.monitor not in known:
            raise ConfigError(f"Judge.monitor is {self.monitor!r}; choose one of {', '.join(known)}")

    def __call__(
        self, methods: Mapping[str, Recommender], cases: EvaluationSet, team: Team | None = None
    ) -> dict[str, float]:
        """Figures of every method: `<method>/ndcg@K`, `<method>/recall@K`, and the mean of the former.

        Args:
            team: the processes that call this together; each judges every user once, none twice, and all get the
                figures that one process would. None is this process alone.
        """
        team = team or Alone()
        start, stop = share(len(cases.users), team.rank, team.size)
        own = cases.block(start, stop)
        figures: dict[str, float] = {}
        for name, recommender in methods.items():
            lists = recommender.recommend(own.users, self.k)
            check_lists(lists, own, self.k, masked=True, method=name)
            found = accuracy(own.hits(lists), own.n_targets, (self.k,))
            per_user = np.zeros((len(FIGURES), len(cases.users)))  # zero where others judge: sums are exact
            per_user[:, start:stop] = [found[f"{m}@{self.k}"] for m in FIGURES]
            means = [float(values.mean()) for values in team.sum(per_user)]
            figures |= {f"{name}/{m}@{self.k}": mean for m, mean in zip(FIGURES, means, strict=True)}
        ndcg = [value for name, value in figures.items() if "/ndcg@" in name]
        return figures | {f"mean/ndcg@{self.k}": sum(ndcg) / len(ndcg)}


def share(users: int, rank: int, size: int) -> tuple[int, int]:
    """Users start .. stop - 1 that process `rank` of `size` judges: whole blocks, as evenly as they go."""
    blocks = -(-users // BLOCK)
    start, stop = (blocks * r // size * BLOCK for r in (rank, rank + 1))
    return min(start, users), min(stop, users)
