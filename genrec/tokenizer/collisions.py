"""Collision handling: every item gets an id of its own, none is dropped."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from genrec.errors import ConfigError
from genrec.tokenizer.placement import Costs, cheapest, match, spread
from genrec.tokenizer.space import Codes, CodeSpace, Rows

MAX_KEY = 2**63 - 1


class CollisionRule(Protocol):
    """Turns the codes that items prefer into unique codes."""

    def check(self, sizes: Sequence[int], n_items: int) -> None:
        """Raise ConfigError if codebooks of these sizes cannot hold so many items; asked before training."""
        ...

    def __call__(
        self, space: CodeSpace, raw: Codes, taken: Codes | None = None
    ) -> tuple[Codes, tuple[int, ...]]:
        """Unique codes of the items of a space.

        Args:
            raw: int32 [N, L], `space.nearest()`.
            taken: int32 [M, L or L + 1], ids of other items that this rule has given before and that stay.

        Returns:
            (codes int32 [N, L or L + 1], codebook sizes).

        Raises:
            ConfigError: there is no room for so many items.
        """
        ...


def group_ids(codes: NDArray[np.integer], sizes: Sequence[int]) -> NDArray[np.int64]:
    """One integer per row, equal for equal rows: codes [N, l] as a mixed-radix number.

    Args:
        sizes: codebook sizes of at least l levels; the rest is not looked at.
    """
    key = np.zeros(len(codes), dtype=np.int64)
    span = 1  # keys are below it
    for level in range(codes.shape[1]):
        if span * sizes[level] > MAX_KEY:  # number the prefixes that occur instead of all that could
            found, key = np.unique(key, return_inverse=True)
            span = len(found)
        key *= sizes[
            level
        ]  # in place: for millions of items memory takes longer to come than numbers to multiply
        key += codes[:, level]
        span *= sizes[level]
    return key


def collision_rate(codes: NDArray[np.integer], sizes: Sequence[int]) -> float:
    """Share of items that have the id of another item before them: 1 - distinct ids / items."""
    if not len(codes):
        return 0.0
    return 1.0 - len(np.unique(group_ids(codes, sizes))) / len(codes)


class DeduplicationCode:
    """Appends one more code that counts the items of a colliding group (TIGER §3.1), in item order.

    New items count on where their group ended. The last codebook does not grow with them, because a model
    trained on the ids has no embedding for further codes: items that find their group full go to the nearest
    id that has room.
    """

    def check(self, sizes: Sequence[int], n_items: int) -> None:
        """Any number of items fits."""

    def __call__(
        self, space: CodeSpace, raw: Codes, taken: Codes | None = None
    ) -> tuple[Codes, tuple[int, ...]]:
        """Unique codes int32 [N, L + 1], and the codebook sizes; see `CollisionRule`."""
        sizes = space.sizes
        if taken is None or not len(taken):
            extra = _places(group_ids(raw, sizes))
            return np.column_stack([raw, extra]), (*sizes, int(extra.max(initial=0)) + 1)
        deep = int(taken[:, -1].max()) + 1
        _check_room((*sizes, deep), len(raw) + len(taken))
        codes = settled(space, raw, taken[:, :-1], leaf=deep)
        group = group_ids(np.concatenate([taken[:, :-1], codes]), sizes)  # old items first
        return np.column_stack([codes, _places(group)[len(taken) :]]), (*sizes, deep)


def _places(group: NDArray[np.int64]) -> NDArray[np.int32]:
    """The place of each row among the rows of its group [N], counted from 0 in order of rows."""
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    lengths = np.diff(np.append(starts, len(group)))
    place = np.empty(len(group), dtype=np.int32)
    place[order] = np.arange(len(group)) - np.repeat(starts, lengths)
    return place


class UniqueAssignment:
    """Moves colliding items to free leaves under the same prefix, at the least total squared distance.

    Levels are settled from the top. A prefix holds at most as many items as there are leaves below it; the
    rare one that would hold more spills into its siblings. At the last level a leaf holds one item, and the
    items under a prefix with a conflict are placed by minimum-cost matching (Hungarian algorithm). Prefixes
    without conflict keep their nearest codes. In long ids only the last levels can overflow at all, so that
    duplicates differ in their last digits and nothing else moves.
    """

    def check(self, sizes: Sequence[int], n_items: int) -> None:
        """Every item needs a leaf."""
        _check_room(sizes, n_items)

    def __call__(
        self, space: CodeSpace, raw: Codes, taken: Codes | None = None
    ) -> tuple[Codes, tuple[int, ...]]:
        """Unique codes int32 [N, L], and the codebook sizes; see `CollisionRule`."""
        sizes = space.sizes
        taken = np.empty((0, len(sizes)), dtype=np.int32) if taken is None else taken
        self.check(sizes, len(raw) + len(taken))
        return settled(space, raw, taken, leaf=1), sizes


def _check_room(sizes: Sequence[int], n_items: int) -> None:
    if prod(sizes) < n_items:
        raise ConfigError(
            f"{n_items} items do not fit into codebooks of {' x '.join(map(str, sizes))} codes; raise "
            "the codebook size or the number of levels"
        )


def settled(space: CodeSpace, raw: Codes, taken: Codes, leaf: int) -> Codes:
    """Codes near `raw` such that no leaf holds more than `leaf` items.

    Args:
        raw: int32 [N, L].
        taken: int32 [M, L], ids of items that are there already and stay.

    Returns:
        int32 [N, L].

    Raises:
        ConfigError: the ids that are there have another length.
    """
    if taken.shape[1] != raw.shape[1]:
        raise ConfigError(
            f"ids of {taken.shape[1]} codes cannot take in items of {raw.shape[1]} codes; bind the collision rule that "
            "they were made with as Assignment.rule or Extension.rule"
        )
    codes = raw.copy()
    for level in range(len(space.sizes)):
        room = prod(space.sizes[level + 1 :]) * leaf
        if room >= len(raw) + len(taken):
            continue  # not even all items would fill one child
        moved = settle_level(space, codes, taken, level, room)
        for deeper in range(level + 1, len(space.sizes)):
            codes[moved, deeper] = cheapest(_costs(space, deeper, codes, moved), len(moved))
    return codes


def settle_level(space: CodeSpace, codes: Codes, taken: Codes, level: int, room: int) -> Rows:
    """Change `codes` [N, L] at a level such that no prefix of its length holds more than `room` items.

    Returns:
        The rows whose code has changed.
    """
    n_codes, n_taken = space.sizes[level], len(taken)
    both = np.concatenate([taken[:, : level + 1], codes[:, : level + 1]])
    _, parent = np.unique(group_ids(both[:, :level], space.sizes), return_inverse=True)
    child = parent * n_codes + both[:, level]
    _, group, held = np.unique(child, return_inverse=True, return_counts=True)
    busy = np.zeros(int(parent.max(initial=-1)) + 1, dtype=bool)
    busy[parent[(held > room)[group]]] = True
    rows = np.flatnonzero(busy[parent[n_taken:]])
    number = np.cumsum(busy) - 1  # of each busy parent
    free = np.full((int(busy.sum()), n_codes), room, dtype=np.int64)
    there = np.flatnonzero(busy[parent[:n_taken]])
    np.subtract.at(free, (number[parent[there]], taken[there, level]), 1)
    costs, own = _costs(space, level, codes, rows), number[parent[n_taken + rows]]
    found = match(costs, own, free) if room == 1 else spread(costs, codes[rows, level], own, free)
    moved: Rows = rows[found != codes[rows, level]]
    codes[rows, level] = found
    return moved


def _costs(space: CodeSpace, level: int, codes: Codes, rows: Rows) -> Costs:
    """Costs of a level's codes for some of these rows, given the codes of the levels before."""
    return lambda some: space.costs(level, rows[some], codes[rows[some]])
