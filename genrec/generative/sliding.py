"""Sliding windows: every item of a history is the target of an example of its own, as TIGER trains.

Other than a causal trunk, an encoder that reads in both directions cannot share what it has read between the
positions of a history, so each position is a window.
"""

from __future__ import annotations

import numpy as np

from genrec.data.histories import Histories
from genrec.errors import ConfigError
from genrec.generative.batches import BatchPlan, Windows


def sliding_windows(histories: Histories, max_length: int) -> Windows:
    """A window per item: the item as the only target, and up to `max_length` items before it.

    The first item of a history is a target too, after nothing: else a model would have no answer for users
    without a history. (The paper starts with the second.)
    """
    if max_length < 1:
        raise ConfigError(f"Tiger.max_length must be at least 1, got {max_length}")
    lengths = histories.lengths
    user = np.repeat(np.arange(len(lengths)), lengths)
    target = np.arange(len(user))  # index in the flat array
    before = np.minimum(target - (np.cumsum(lengths) - lengths)[user], max_length)
    return Windows(user, histories.offsets[0] + target - before, before + 1, before)


class SlidingBatchPlan(BatchPlan):
    """Batches of sliding windows of one length, but for the few in which one length ends and the next begins.

    So hardly anything is padding. The arguments are those of `BatchPlan`; tokens are items here as there.
    """

    JITTER = 0.04  # mixes windows of a length, and lengths only above 25 items

    @staticmethod
    def windows_of(histories: Histories, max_length: int) -> Windows:
        """The windows of every epoch."""
        return sliding_windows(histories, max_length)
