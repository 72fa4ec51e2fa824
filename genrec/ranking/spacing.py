"""Events at the same time, one after the other.

A row sees what happened strictly before its time. Where a user's events carry the same second, as half of MovieLens'
do, that is less than what came before in the order that the split declares: the very items that tell what comes next
are missing while a ranker learns, and are there when it serves, after the last of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from genrec.data.splits import Split
from genrec.data.tables import NO_TIMESTAMP


def spaced(split: Split) -> Split:
    """The same split with times at which each user's events follow one another, at least a second apart.

    Order, parts and hash stay; an event is moved back by as many seconds as it takes. What others did within these
    seconds counts as past, too.

    Args:
        split: whose parts follow each other in time for each user, as those of leave-one-out and of time do.
    """
    parts = (split.train, split.valid, split.test)
    columns = [one.timestamps for one in parts if one.timestamps is not None]
    if len(columns) < len(parts):
        return split
    users, times = np.concatenate([one.users for one in parts]), np.concatenate(columns)
    timed = np.flatnonzero(times != NO_TIMESTAMP)
    order = timed[
        np.lexsort((times[timed], users[timed]))
    ]  # equal times keep the order of parts, and within them
    times[order] = rising(users[order].astype(np.int64), times[order])
    cuts = np.cumsum([len(one) for one in parts])[:-1]
    moved = [replace(one, timestamps=at) for one, at in zip(parts, np.split(times, cuts), strict=True)]
    return replace(split, train=moved[0], valid=moved[1], test=moved[2])


def rising(users: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Times [E] that rise by 1 at least within each user, none before its own; events come sorted by (user, time)."""
    place = np.arange(len(times))
    values, rank = np.unique(
        times - place, return_inverse=True
    )  # a user's highest so far, plus place, is the answer
    highest = np.maximum.accumulate(users * len(values) + rank) - users * len(values)
    return np.asarray(values[highest] + place)
