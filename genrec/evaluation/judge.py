"""Validation while a model trains: the recall it would give, masked, on validation users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from genrec.errors import ConfigError
from genrec.evaluation.protocol import EvaluationSet, Recommender, evaluate


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

    def __call__(self, methods: Mapping[str, Recommender], cases: EvaluationSet) -> dict[str, float]:
        """Figures of every method: `<method>/ndcg@K`, `<method>/recall@K`, and the mean of the former."""
        figures: dict[str, float] = {}
        for name, recommender in methods.items():
            summary = evaluate(recommender, cases, (self.k,), method=name, masked=True).summary
            figures |= {f"{name}/{m}@{self.k}": summary[f"{m}@{self.k}"] for m in ("ndcg", "recall")}
        ndcg = [value for name, value in figures.items() if "/ndcg@" in name]
        return figures | {f"mean/ndcg@{self.k}": sum(ndcg) / len(ndcg)}
