"""A page of pictures grouped by the first codes of their semantic ids, so that a person sees what the codes mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from genrec.evaluation.page import Picture, Pictures, Section, Text


def contact_sheet(
    codes: NDArray[np.integer],
    titles: Sequence[str],
    genres: Sequence[Sequence[str]],
    pictured: NDArray[np.bool_],
    picture: Callable[[int], bytes | None],
    *,
    first: int = 24,
    second: int = 6,
    most: int = 10,
) -> list[Section]:
    """One section per first code, one strip of pictures per second code; the largest groups.

    Args:
        codes: [N, L], L at least 2.
        titles: of the items [N].
        genres: of the items [N]; the most frequent ones of a group are named.
        pictured: which items have a picture [N].
        picture: JPEG of an item, asked only for those that are shown; None where it cannot be read.
        first: how many first codes.
        second: how many second codes below each.
        most: pictures of a strip.
    """
    items = np.flatnonzero(pictured)
    sections = []
    for code, group in _largest(codes[items, 0], first):
        members = items[group]
        strips = []
        for below, part in _largest(codes[members, 1], second):
            shown = [(int(item), picture(int(item))) for item in members[part][:most]]
            pictures = [Picture(titles[item], jpeg) for item, jpeg in shown if jpeg is not None]
            count = "1 item" if len(part) == 1 else f"{len(part)} items"
            among = shares(genres[item] for item in members[part])
            strips.append(Pictures(f"{code}, {below}: {count}{among and f'; {among}'}", tuple(pictures)))
        n_below = len(np.unique(codes[members, 1]))
        among = shares(genres[item] for item in members)
        intro = f"{len(members)} items with a picture, below {n_below} second codes{among and f'; {among}'}."
        sections.append(Section(f"Code {code}", tuple(strips), intro))
    return sections or [Section("No pictures", (Text("No item has a picture that can be read."),))]


def shares(genres: Iterable[Sequence[str]], most: int = 3) -> str:
    """The most frequent genres of some items and the share that has each: `Drama 90 %, War 30 %`."""
    several = list(genres)
    counts = Counter(genre for some in several for genre in set(some))
    best = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
    return ", ".join(f"{genre} {count / len(several):.0%}".replace("%", " %") for genre, count in best)


def _largest(labels: NDArray[np.integer], n: int) -> list[tuple[int, NDArray[np.int64]]]:
    """The n most frequent labels with the rows of each, most frequent first."""
    values, counts = np.unique(labels, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:n]
    return [(int(values[place]), np.flatnonzero(labels == values[place])) for place in order]
