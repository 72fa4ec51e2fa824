"""What re-rankers know of items: vectors, counts, ratings, years, first events, genres; each of them optional."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from genrec.errors import ConfigError

_BLOCK = 4096  # items whose vectors are float64 at once: 32 MB where they are 1024 wide


@dataclass(frozen=True)
class Catalogue:
    """Columns of the item table and statistics of training events; a re-ranker refuses to run without its own.

    Attributes:
        n_items: N.
        vectors: float32 [N, D], whose cosine says how similar two items are.
        present: bool [N]; the vectors of other items say nothing. None where all are known.
        counts: int64 [N], events of each item.
        rating_sums: float64 [N], sum of each item's known ratings.
        rating_counts: int64 [N], how many those are.
        years: float64 [N], NaN where unknown.
        first_events: float64 [N], seconds; NaN where unknown.
        genre_names: the columns of `genres`.
        genres: bool [N, G].
    """

    n_items: int
    vectors: NDArray[np.floating] | None = None
    present: NDArray[np.bool_] | None = None
    counts: NDArray[np.int64] | None = None
    rating_sums: NDArray[np.float64] | None = None
    rating_counts: NDArray[np.int64] | None = None
    years: NDArray[np.float64] | None = None
    first_events: NDArray[np.float64] | None = None
    genre_names: tuple[str, ...] = ()
    genres: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        columns = {
            "vectors": self.vectors,
            "present": self.present,
            "counts": self.counts,
            "rating_sums": self.rating_sums,
            "rating_counts": self.rating_counts,
            "years": self.years,
            "first_events": self.first_events,
            "genres": self.genres,
        }
        wrong = [name for name, one in columns.items() if one is not None and len(one) != self.n_items]
        if wrong:
            raise ValueError(f"a catalogue of {self.n_items} items has {', '.join(wrong)} of another length")
        if (self.rating_sums is None) != (self.rating_counts is None):
            raise ValueError("a catalogue needs both rating_sums and rating_counts, or neither")
        if self.genres is not None and self.genres.shape[1] != len(self.genre_names):
            raise ValueError(f"genres {self.genres.shape} do not fit {len(self.genre_names)} genre_names")

    @classmethod
    def of(
        cls,
        n_items: int,
        events: NDArray[np.integer],
        ratings: NDArray[np.floating] | None = None,
        timestamps: NDArray[np.int64] | None = None,
        *,
        vectors: NDArray[np.floating] | None = None,
        present: NDArray[np.bool_] | None = None,
        years: NDArray[np.floating] | None = None,
        genres: tuple[NDArray[np.integer], Sequence[str]] | None = None,
    ) -> Catalogue:
        """Count training events, and take the rest as it is.

        Args:
            n_items: N.
            events: item of each event [E].
            ratings: of each event [E], NaN where unknown, or None.
            timestamps: of each event [E] in seconds, negative where unknown, or None.
            vectors: [N, D].
            present: bool [N].
            years: [N], NaN where unknown.
            genres: (items [P], names [P]), one pair for each genre of each item.
        """
        sums = known = first = members = None
        names: tuple[str, ...] = ()
        if ratings is not None:
            rated = np.isfinite(ratings)
            sums = np.bincount(events[rated], weights=ratings[rated], minlength=n_items).astype(np.float64)
            known = np.bincount(events[rated], minlength=n_items)
        if timestamps is not None:
            dated = timestamps >= 0
            first = np.full(n_items, np.inf)
            np.minimum.at(first, events[dated], timestamps[dated].astype(np.float64))
            first[np.isinf(first)] = np.nan
        if genres is not None:
            found, column = np.unique(np.asarray(genres[1], dtype=str), return_inverse=True)
            names = tuple(found.tolist())
            members = np.zeros((n_items, len(names)), dtype=np.bool_)
            members[genres[0], column] = True
        return cls(
            n_items=n_items,
            vectors=vectors,
            present=present,
            counts=np.bincount(events, minlength=n_items),
            rating_sums=sums,
            rating_counts=known,
            years=None if years is None else np.asarray(years, dtype=np.float64),
            first_events=first,
            genre_names=names,
            genres=members,
        )

    @cached_property
    def unit(self) -> NDArray[np.float32] | None:
        """Vectors of length 1 [N, D], zero where nothing is known of the item, so that its cosines are 0."""
        if self.vectors is None:
            return None
        unit = np.zeros(self.vectors.shape, dtype=np.float32)
        for start in range(0, self.n_items, _BLOCK):
            block = slice(start, start + _BLOCK)
            vectors = self.vectors[block].astype(np.float64)
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            known = norms > 0 if self.present is None else (norms > 0) & self.present[block, None]
            unit[block] = np.divide(vectors, norms, out=np.zeros_like(vectors), where=known)
        return unit

    @cached_property
    def known(self) -> NDArray[np.bool_] | None:
        """Whose vector says something [N]."""
        return None if self.unit is None else np.asarray(self.unit.any(axis=1))

    def members(self, names: Sequence[str], owner: str) -> NDArray[np.bool_]:
        """Which items have each of these genres, bool [N, len(names)].

        Args:
            names: of genres.
            owner: who asks, such as `GenreQuota.at_most`, for the error.

        Raises:
            ConfigError: there are no genres, or none of that name.
        """
        if self.genres is None:
            raise ConfigError(f"{owner} needs the genres of items, and this catalogue has none; unbind it")
        unknown = sorted(set(names) - set(self.genre_names))
        if unknown:
            raise ConfigError(
                f"{owner} names {', '.join(unknown)}, but the genres are {', '.join(self.genre_names)}"
            )
        return self.genres[:, [self.genre_names.index(name) for name in names]]
