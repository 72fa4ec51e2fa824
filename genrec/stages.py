"""What flows through the pipeline: the world it knows, requests, the lists that each stage leaves, and their times."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrec.data.histories import Histories
from genrec.data.tables import NO_TIMESTAMP, Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.rerank.base import best_first, gather
from genrec.rerank.catalogue import Catalogue


@dataclass(frozen=True)
class World:
    """What the pipeline knows of items and users.

    Attributes:
        items: the catalogue.
        user_ids: raw ids, by dense index.
        log: events, sorted by user and time: histories, statistics and popularity come from it.
        features: of the items, by which lists are diverse; or None.
    """

    items: ItemTable
    user_ids: NDArray[Any]
    log: Interactions
    features: ItemFeatures | None = None

    @cached_property
    def histories(self) -> Histories:
        """Each user's items."""
        return Histories.of(self.log)

    @cached_property
    def catalogue(self) -> Catalogue:
        """What re-rankers read."""
        frame = self.items.frame
        genres = frame["genres"].reset_index(drop=True).explode().dropna() if "genres" in frame else None
        return Catalogue.of(
            len(self.items),
            self.log.items,
            self.log.ratings,
            self.log.timestamps,
            vectors=None if self.features is None else self.features.vectors,
            present=None if self.features is None else self.features.present,
            years=frame["year"].to_numpy(np.float64, na_value=np.nan) if "year" in frame else None,
            genres=None if genres is None else (genres.index.to_numpy(), genres.astype(str).tolist()),
        )

    @cached_property
    def last_times(self) -> NDArray[np.int64]:
        """Time of each user's last event, that of the log's last one for others [n_users + 1]; the last is for -1."""
        times = self.log.timestamps
        known = np.zeros(0, bool) if times is None else times != NO_TIMESTAMP
        if times is None or not known.any():
            return np.full(self.log.n_users + 1, NO_TIMESTAMP)
        last = np.full(self.log.n_users + 1, np.iinfo(np.int64).min)
        np.maximum.at(last, self.log.users[known], times[known])
        return np.where(last == np.iinfo(np.int64).min, times[known].max(), last)

    @cached_property
    def titles(self) -> list[str]:
        """Of the items; their ids where they have none."""
        frame = self.items.frame
        return [str(title) for title in frame["title" if "title" in frame else self.items.id_column]]

    @cached_property
    def index_of(self) -> dict[str, int]:
        """Dense index by raw id as text, so that `"42"` finds 42."""
        return {str(raw): index for index, raw in enumerate(self.user_ids.tolist())}


@dataclass(frozen=True)
class Settings:
    """How the stages work together.

    Args:
        topk_recall: candidates of recall.
        keep: candidates that the pre-ranker leaves; without one, nothing is thinned out.
        rank_weight: of the ranker's logits against the stage before it, both standardised within each user's
            candidates; 1 leaves the order to the ranker alone. Choose it on validation.
        clock: the time of a request that names none: `log`, a second after the last event of all, as a system that
            serves would; or `user`, a second after the user's own last event, as leave-one-out judges.
        recaller: name of a recaller of one channel in traces.
        batch_size: users at once.
    """

    topk_recall: int = 200
    keep: int = 100
    rank_weight: float = 1.0
    clock: str = "log"
    recaller: str = "recall"
    batch_size: int = 256

    def __post_init__(self) -> None:
        for name in ("topk_recall", "keep", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"Settings.{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.rank_weight <= 1:
            raise ConfigError(f"Settings.rank_weight must lie between 0 and 1, got {self.rank_weight}")
        if self.clock not in CLOCKS:
            raise ConfigError(f"Settings.clock must be one of {', '.join(CLOCKS)}, got {self.clock!r}")


CLOCKS: Mapping[str, Callable[[NDArray[np.int64]], NDArray[np.int64]]] = {
    "log": lambda last: np.full_like(last, last.max()),
    "user": lambda last: last,
}
"""From the users' last times to the times that requests follow."""


@dataclass(frozen=True)
class Request:
    """Whom to answer, and how.

    Attributes:
        users: int32 [U], -1 for who is unknown.
        times: int64 [U], of the requests.
        exclude_seen: whether items of the history are left out.
        lambda_mmr: weight of relevance in MMR; None is that of the re-ranker.
    """

    users: NDArray[np.int32]
    times: NDArray[np.int64]
    exclude_seen: bool = True
    lambda_mmr: float | None = None


@dataclass(frozen=True)
class Stage:
    """What a stage leaves, best first.

    Attributes:
        name: `recall`, `prerank`, `rank`, `rerank`.
        items: int32 [U, k], -1 after the last.
        scores: float32 [U, k], never rising; -inf where the item is -1.
        places: int64 [U, k], the column in the lists of recall.
        seconds: wall time for all users.
        cpu_seconds: of the processor.
        figures: further ones of each item [U, k].
    """

    name: str
    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    places: NDArray[np.int64]
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    figures: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """All stages of a request.

    Attributes:
        request: what was asked.
        stages: in their order.
        channels: rank of each item of recall [U, k] in each channel's list, 0 where it is not.
        fallback: bool [U], who got the most popular items in the place of recall.
    """

    request: Request
    stages: tuple[Stage, ...]
    channels: Mapping[str, NDArray[np.int32]]
    fallback: NDArray[np.bool_]


class Clock:
    """Time since the last stage."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def timed(self, stage: Stage) -> Stage:
        """The stage with the time it took."""
        wall, cpu = time.perf_counter(), time.process_time()
        done = replace(stage, seconds=wall - self.wall, cpu_seconds=cpu - self.cpu)
        self.wall, self.cpu = wall, cpu
        return done


def standardised(scores: NDArray[np.floating], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Scores [U, C] minus their list's mean, over its deviation; 0 where all are alike, or there is none."""
    known = np.where(there, scores, 0.0).astype(np.float64)
    n = np.maximum(there.sum(axis=1, keepdims=True), 1)
    apart = np.where(there, known - known.sum(axis=1, keepdims=True) / n, 0.0)
    deviation = np.sqrt(np.square(apart).sum(axis=1, keepdims=True) / n)
    return np.asarray(apart / np.where(deviation > 1e-9, deviation, 1.0))


def joined(request: Request, blocks: Sequence[Run]) -> Run:
    """Blocks of users as one run; seconds add up."""
    if len(blocks) == 1:
        return blocks[0]
    stages = []
    for parts in zip(*(block.stages for block in blocks), strict=True):
        figures = {name: np.concatenate([part.figures[name] for part in parts]) for name in parts[0].figures}
        stages.append(
            Stage(
                parts[0].name,
                np.concatenate([part.items for part in parts]),
                np.concatenate([part.scores for part in parts]),
                np.concatenate([part.places for part in parts]),
                sum(part.seconds for part in parts),
                sum(part.cpu_seconds for part in parts),
                figures,
            )
        )
    names = dict.fromkeys(name for block in blocks for name in block.channels)
    channels = {
        name: np.concatenate(
            [block.channels.get(name, np.zeros_like(block.stages[0].items)) for block in blocks]
        )
        for name in names
    }
    return Run(request, tuple(stages), channels, np.concatenate([block.fallback for block in blocks]))


def ordered(
    name: str, before: Stage, scores: NDArray[np.float32], k: int, figures: Mapping[str, NDArray[Any]]
) -> Stage:
    """The k best of the candidates by new scores."""
    done = best_first(before.items, scores, before.items >= 0, k, figures)
    return Stage(name, done.items, done.scores, gather(before.places, done.places), figures=dict(done.trace))
