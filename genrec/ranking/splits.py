"""The three parts of a ranking experiment, each with the events that may be looked up for it.

The splits are those of `genrec.data.splits`: `GlobalTime` is the honest one; `RandomSplit`, by which published CTR
figures are made, lets a model learn from events later than those it is judged by. Features are point-in-time in
both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genrec.data.order import merged_in_time, timed
from genrec.data.splits import Split
from genrec.data.tables import NO_TIMESTAMP, Interactions
from genrec.ranking.labels import LabelRule
from genrec.ranking.rows import Rows


@dataclass(frozen=True)
class LabelledPart:
    """Rows of one part.

    Attributes:
        rows: labelled.
        log: the events that statistics and histories are looked up in, strictly before each row's time.
    """

    rows: Rows
    log: Interactions


@dataclass(frozen=True)
class RankingSplit:
    """Rows to learn from, to choose by, and to judge by."""

    train: LabelledPart
    valid: LabelledPart
    test: LabelledPart


def rated_in_time(events: Interactions) -> Interactions:
    """The events that have a timestamp and, where there are ratings at all, a rating.

    A split by time refuses data in which some timestamps are missing.
    """
    known = np.ones(len(events), dtype=bool) if events.ratings is None else np.isfinite(events.ratings)
    if events.timestamps is not None:
        known &= events.timestamps != NO_TIMESTAMP
    return events.take(known)


def ranking_split(split: Split, rule: LabelRule, *, live: bool = False) -> RankingSplit:
    """Labelled rows of a split's parts.

    Args:
        split: of events.
        rule: labels them; the target `return` of a part may look at later events of that part, but of no later part.
        live: whether statistics go on during validation and test, as they do in a system that records what happens; if
            not, they stand still where the part before ends, as for all other methods of this project. In either case a
            row sees nothing at or after its own time.

    Raises:
        DataError: a part has no event that can be labelled.
    """
    by_time = all(timed(one) for one in (split.train, split.valid, split.test))
    until_valid = split.before("test")
    until_test = merged_in_time(until_valid, split.test, by_time)
    return RankingSplit(
        LabelledPart(rule(split.train), split.train),
        LabelledPart(rule(split.valid, until_valid), until_valid if live else split.train),
        LabelledPart(rule(split.test, until_test), until_test if live else until_valid),
    )
