"""Small logs and tables, drawn by hypothesis or written out, and a fitted schema of every kind of feature."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from genrec.data.tables import NO_TIMESTAMP, Interactions, ItemTable, UserTable
from genrec.ranking.rows import Rows
from genrec.tokenizer.semantic_ids import SemanticIds

N_USERS, N_ITEMS = 4, 6
Event = tuple[int, int, float, int]
"""User, item, rating (NaN for none), time."""

TIMES = st.integers(0, 12)
EVENTS = st.lists(
    st.tuples(
        st.integers(0, N_USERS - 1),
        st.integers(0, N_ITEMS - 1),
        st.sampled_from([float("nan"), 0.5, 1.0, 2.5, 3.0, 4.0, 4.1, 5.0]),
        st.one_of(TIMES, st.just(NO_TIMESTAMP)),
    ),
    max_size=25,
)
ROWS = st.lists(
    st.tuples(
        st.integers(-1, N_USERS),
        st.integers(-1, N_ITEMS),
        st.one_of(st.integers(-3, 15), st.just(NO_TIMESTAMP)),
    ),
    min_size=1,
    max_size=12,
)


def log(events: Sequence[Event], rated: bool = True, timed: bool = True) -> Interactions:
    """Events in the given order."""
    users, items, ratings, times = zip(*events, strict=True) if events else ((), (), (), ())
    return Interactions(
        np.array(users, dtype=np.int32),
        np.array(items, dtype=np.int32),
        N_USERS,
        N_ITEMS,
        np.array(ratings, dtype=np.float32) if rated else None,
        np.array(times, dtype=np.int64) if timed else None,
    )


def rows(triples: Sequence[tuple[int, int, int]]) -> Rows:
    """Rows (user, item, time)."""
    users, items, times = zip(*triples, strict=True)
    return Rows(
        np.array(users, dtype=np.int32), np.array(items, dtype=np.int32), np.array(times, dtype=np.int64)
    )


def items() -> ItemTable:
    """Six items; the last has no genre and no year."""
    return ItemTable(
        pd.DataFrame(
            {
                "item_id": [10, 20, 30, 40, 50, 60],
                "title": list("abcdef"),
                "year": pd.array([1990, 1991, 1992, 1993, 1994, None], dtype="Int64"),
                "genres": [
                    ["Drama"],
                    ["Comedy", "Drama"],
                    ["War"],
                    ["Comedy"],
                    ["Action", "War", "Drama"],
                    [],
                ],
            }
        )
    )


def users() -> UserTable:
    """Four users; nobody knows the last one's age."""
    return UserTable(
        pd.DataFrame(
            {
                "user_id": ["u0", "u1", "u2", "u3"],
                "age": [20.0, 30.0, 40.0, np.nan],
                "sex": ["F", "M", "M", None],
            }
        )
    )


class Posters:
    """Vectors of the items; two lack one."""

    vectors = np.array([[1, 2, 3], [0, 0, 0], [2, 1, 0], [1, 1, 1], [0, 0, 0], [0, 3, 0]], dtype=np.float32)
    present = np.array([True, False, True, True, False, True])


def ids() -> SemanticIds:
    """Three levels of two codes; items 0 and 1 begin alike."""
    codes = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]], dtype=np.int32)
    return SemanticIds(codes, (2, 2, 2), "test", "none")


FEATURES: dict[str, dict[str, object]] = {
    "user": {"kind": "categorical", "source": "user", "width": 3},
    "item": {"kind": "categorical", "source": "item"},
    "genres": {"kind": "multi_label", "source": "item.genres", "pooling": "max"},
    "user_genres": {
        "kind": "multi_label",
        "source": "statistic.user_genres",
        "shares": "genres",
        "pooling": "sum",
    },
    "year": {"kind": "bucketised", "source": "item.year", "bins": 3},
    "age": {"kind": "bucketised", "source": "user.age", "edges": [25, 35]},
    "popularity": {"kind": "numeric", "source": "statistic.item_count", "transform": "log"},
    "item_mean": {"kind": "numeric", "source": "statistic.item_mean"},
    "user_variance": {"kind": "numeric", "source": "statistic.user_variance", "transform": "sqrt"},
    "since": {"kind": "bucketised", "source": "statistic.user_recency", "bins": 4},
    "hour": {"kind": "categorical", "source": "statistic.hour"},
    "weekday": {"kind": "categorical", "source": "statistic.weekday"},
    "history": {"kind": "sequence", "length": 4, "shares": "item"},
    "past_years": {"kind": "sequence", "source": "history.year", "length": 2},
    "poster": {"kind": "embedding"},
    "code": {"kind": "semantic_id", "depth": 2},
}
"""One of every kind."""
