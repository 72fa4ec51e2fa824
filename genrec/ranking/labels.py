"""Labels: which events count as good, and the further targets of models with several tasks.

`like` is the label of every ranker: a rating of at least 4. `rating` is the rating itself, between 0 and 1. `return`
stands in for watching again, which MovieLens cannot show because nobody rates a film twice: whether the user comes
back, that is, has another event after this session but within some days. That the next event of the same
session follows within minutes says nothing, as films are rated one after the other, hence the pause. A user whose
days are not over when the log ends, and who has not come back yet, is unknown (NaN), not lost. The target looks ahead,
as every label does; features never do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from genrec.data.tables import NO_TIMESTAMP, Interactions
from genrec.errors import ConfigError, DataError
from genrec.ranking.ledger import Ledger, timed_rows
from genrec.ranking.rows import Rows

HOUR, DAY = 3600, 86400


@dataclass(frozen=True)
class LabelRule:
    """Turns events into labelled rows.

    Where ratings exist, events without one make no row. Where the dataset has none at all, every event is
    good, and what is not comes from `genrec.ranking.negatives`.

    Args:
        threshold: the lowest good rating; None makes every event good, rated or not, where the question is what a user
            takes next.
        dropped: ratings that make no row, such as the lukewarm 3 in figures that are published for MovieLens. They stay
            in the log: what is known of a user does not change.
        tasks: further targets, of `like`, `rating`, `return`.
        scale: the lowest and the highest rating, which become 0 and 1.
        pause_hours: a session ends where nothing happens for so long.
        return_days: after a session's end, within which a user must come back.
    """

    threshold: float | None = 4.0
    dropped: Sequence[float] = ()
    tasks: Sequence[str] = ()
    scale: tuple[float, float] = (1.0, 5.0)
    pause_hours: float = 1.0
    return_days: float = 7.0

    def __post_init__(self) -> None:
        unknown = [name for name in self.tasks if name not in TASKS]
        if unknown:
            raise ConfigError(f"LabelRule.tasks must be some of {', '.join(TASKS)}; got {unknown[0]!r}")
        if not self.scale[0] < self.scale[1]:
            raise ConfigError(f"LabelRule.scale must be (lowest, highest), got {self.scale}")
        if not 0 <= self.pause_hours * HOUR < self.return_days * DAY:
            raise ConfigError(
                f"LabelRule.return_days must be longer than LabelRule.pause_hours, got {self.return_days} days "
                f"and {self.pause_hours} hours"
            )

    def __call__(self, events: Interactions, log: Interactions | None = None) -> Rows:
        """Rows of `events`, in their order.

        Args:
            log: what is known of later events, which `return` looks at; `events` if not given. For training give
                nothing that is held out.

        Raises:
            DataError: no event can be labelled.
        """
        kept = np.ones(len(events), dtype=bool)
        if events.ratings is not None:
            if self.threshold is not None:
                kept = np.isfinite(events.ratings)
            for rating in self.dropped:
                kept &= ~np.isclose(events.ratings, rating)
        labelled = events.take(kept)
        if not len(labelled):
            raise DataError(
                "no event can be labelled: all lack a rating, or LabelRule.dropped names all there are"
            )
        log = events if log is None else log
        tasks = {name: TASKS[name](self, labelled, log) for name in self.tasks}
        return replace(Rows.of(labelled), labels=_like(self, labelled, log), tasks=tasks)


def _like(rule: LabelRule, events: Interactions, log: Interactions) -> NDArray[np.float32]:
    if events.ratings is None or rule.threshold is None:
        return np.ones(len(events), dtype=np.float32)
    good: NDArray[np.float32] = (events.ratings >= rule.threshold).astype(np.float32)
    return good


def _rating(rule: LabelRule, events: Interactions, log: Interactions) -> NDArray[np.float32]:
    if events.ratings is None:
        return np.full(len(events), np.nan, dtype=np.float32)
    low, high = rule.scale
    scaled: NDArray[np.float32] = np.clip((events.ratings - low) / (high - low), 0.0, 1.0).astype(np.float32)
    return scaled


def _return(rule: LabelRule, events: Interactions, log: Interactions) -> NDArray[np.float32]:
    """1 where an event follows the session in time, 0 where none does, NaN where that is still open."""
    times = events.timestamps
    _, known = timed_rows(log)
    if times is None or not len(known):
        return np.full(len(events), np.nan, dtype=np.float32)
    ledger = Ledger(log.users, log.n_users, log)
    end = session_ends(ledger, events.users, times, round(rule.pause_hours * HOUR))
    deadline = end + round(rule.return_days * DAY)
    following = ledger.next_time(events.users, end + 1)
    returned = (following != NO_TIMESTAMP) & (following <= deadline)
    closed = deadline <= known.max()
    label = np.where(returned, 1.0, np.where(closed, 0.0, np.nan))
    return np.where(times == NO_TIMESTAMP, np.nan, label).astype(np.float32)


def session_ends(
    ledger: Ledger, users: NDArray[np.int32], times: NDArray[np.int64], pause: int
) -> NDArray[np.int64]:
    """Time of the last event of the session that each row [R] belongs to.

    Args:
        ledger: a log by user, which holds the rows' events.
        users: of the rows.
        times: of the rows, seconds.
        pause: seconds without an event that end a session.
    """
    at, owner = ledger.times, ledger.entities
    last = np.append((np.diff(at) > pause) | (np.diff(owner) > 0), True)  # of its session
    ends = at[last][np.cumsum(last) - last]  # by place: sessions are numbered by those that ended before
    past = ledger.before(users, times + 1)
    found = past.lengths > 0
    return np.maximum(np.where(found, ends[np.where(found, past.stop - 1, 0)], times), times)


TASKS: Mapping[str, Callable[[LabelRule, Interactions, Interactions], NDArray[np.float32]]] = {
    "like": _like,
    "rating": _rating,
    "return": _return,
}
"""Targets by name."""
