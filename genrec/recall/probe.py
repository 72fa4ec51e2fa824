"""Probes of a generative model: what the beam loses, and at which level it goes wrong."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genrec.data.recommendations import Recommendations
from genrec.errors import ConfigError
from genrec.recall.base import Recaller
from genrec.recall.generative import GenerativeRecaller


@dataclass(frozen=True)
class Timed:
    """Lists and the time they took.

    Attributes:
        seconds: of one call for all users.
    """

    lists: Recommendations
    seconds: float


def timed(recaller: Recaller, users: NDArray[np.int32], k: int) -> Timed:
    """Masked lists of `users`, timed."""
    started = time.perf_counter()
    lists = recaller.recommend(users, k)
    return Timed(lists, time.perf_counter() - started)


def by_width(
    generative: GenerativeRecaller, users: NDArray[np.int32], k: int, widths: Sequence[int]
) -> dict[int | None, Timed]:
    """Lists of the same fitted recaller with other beams; None is exact search."""
    if any(width < 1 for width in widths):
        raise ConfigError(f"beam widths must be at least 1, got {list(widths)}")
    found: dict[int | None, Timed] = {}
    for width in (*widths, None):
        probe = GenerativeRecaller(
            generative.model,
            width=width or 1,
            search="branch-and-bound" if width is None else "beam",
            batch_size=generative.batch_size,
        )
        probe.histories = generative.histories
        found[width] = timed(probe, users, k)
    return found


def agreement(lists: Recommendations, exact: Recommendations) -> float:
    """Share of the exact lists' items that `lists` hold too, at any place."""
    wanted = exact.items >= 0
    held = (lists.items[:, :, None] == exact.items[:, None, :]).any(axis=1) & wanted
    return float(held.sum() / max(wanted.sum(), 1))


@dataclass(frozen=True)
class LevelHits:
    """Greedy decoding against targets, per level.

    Attributes:
        correct: bool [M, L], the greedy code is the target's.
        on_track: bool [M, L], all codes before it are the target's.
    """

    correct: NDArray[np.bool_]
    on_track: NDArray[np.bool_]


def level_hits(
    generative: GenerativeRecaller, users: NDArray[np.int32], targets: NDArray[np.int32]
) -> LevelHits:
    """Follow the single best code at every level for each (user [M], target item [M])."""
    greedy = GenerativeRecaller(generative.model, width=1, batch_size=generative.batch_size)
    greedy.histories = generative.histories
    items = greedy.recommend(users, 1).items[:, 0]
    codes = generative.model.tree.codes().cpu().numpy()
    correct = (codes[items] == codes[targets]) & (items >= 0)[:, None]
    before = np.cumprod(correct, axis=1).astype(bool)
    on_track = np.concatenate([np.ones((len(users), 1), dtype=bool), before[:, :-1]], axis=1)
    return LevelHits(correct, on_track)
