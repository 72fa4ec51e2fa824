"""From raw tables to a dataset: dense indices, a canonical order of events, and the hash of the content."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genrec.data.order import canonical
from genrec.data.raw import RawTables, item_frame
from genrec.data.tables import Dataset, Interactions, ItemTable, UserTable
from genrec.errors import DataError


def assemble(name: str, raw: RawTables) -> Dataset:
    """The dataset of `raw`, independent of the order of its rows.

    Users and items are numbered in the order of their raw ids and events are sorted by (user, item), so two
    copies of one release, whatever mirror they came from, give the same arrays. Items that were rated but are
    not in the item file are added, with their id as title.

    Raises:
        DataError: there are no events, an id occurs twice in the item or user file, or ids differ in kind.
    """
    if not len(raw.user_ids):
        raise DataError(f"{name}: there are no interactions; check the files")
    users, user_ids = _dense(raw.user_ids)
    items, rated_ids = _dense(raw.item_ids)
    item_table = ItemTable(_catalogue(name, raw.items, rated_ids))
    # Rated items are numbered among themselves so far; the catalogue holds cold ones between them.
    number = pd.Index(item_table.frame["item_id"]).get_indexer(pd.Index(rated_ids)).astype(np.int32)
    events = canonical(
        Interactions(
            users=users,
            items=number[items],
            n_users=len(user_ids),
            n_items=len(item_table),
            ratings=raw.ratings,
            timestamps=raw.timestamps,
            positions=raw.positions,
        )
    )
    user_table = UserTable(_people(name, raw.users, user_ids))
    return Dataset(name, events, item_table, user_table, content_hash(events, user_table.ids, item_table.ids))


def content_hash(events: Interactions, user_ids: NDArray[Any], item_ids: NDArray[Any]) -> str:
    """sha256 of the canonically sorted events and of the raw ids behind their indices, hex."""
    digest = hashlib.sha256()
    columns = (events.users, events.items, events.ratings, events.timestamps, events.positions)
    for column in columns:
        digest.update(b"-" if column is None else np.ascontiguousarray(column).view(np.uint8).data)
    for ids in (user_ids, item_ids):
        digest.update("\n".join(map(str, ids.tolist())).encode())
    return digest.hexdigest()


def _dense(ids: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Ids as numbers 0..n-1 in the order of the ids, and the ids by number."""
    codes, uniques = pd.factorize(ids)
    order = np.argsort(uniques, kind="stable")
    number = np.empty(len(order), dtype=np.int32)
    number[order] = np.arange(len(order), dtype=np.int32)
    return number[codes], np.asarray(uniques)[order]


def _catalogue(name: str, items: pd.DataFrame, rated_ids: NDArray[Any]) -> pd.DataFrame:
    known = items["item_id"]
    repeated = known[known.duplicated()]
    if len(repeated):
        raise DataError(
            f"{name}: item_id {repeated.tolist()[0]!r} occurs more than once in the item file; keep one row per item"
        )
    kind = _kind(name, known, rated_ids)
    added = pd.DataFrame({"item_id": rated_ids[~pd.Index(rated_ids).isin(known)]})
    frame = pd.concat([item_frame(items), item_frame(added)]) if len(added) else item_frame(items)
    frame = frame.astype({"item_id": kind})
    return frame.sort_values("item_id", ignore_index=True)


def _people(name: str, users: pd.DataFrame | None, user_ids: NDArray[Any]) -> pd.DataFrame:
    """One row per user with events, in their order, with the columns of the user file where there is one."""
    known = users["user_id"] if users is not None else pd.Series(user_ids, name="user_id")
    repeated = known[known.duplicated()]
    if len(repeated):
        raise DataError(
            f"{name}: user_id {repeated.tolist()[0]!r} occurs more than once in the user file; keep one row per user"
        )
    kind = _kind(name, known, user_ids)
    frame = pd.DataFrame({"user_id": user_ids}).astype({"user_id": kind})
    return frame if users is None else frame.merge(users.astype({"user_id": kind}), on="user_id", how="left")


def _kind(name: str, listed: pd.Series[Any], occurring: NDArray[Any]) -> type[np.int64] | type[str]:
    """The type of an id column; DataError where its file and the interactions differ."""
    numeric = pd.api.types.is_integer_dtype(listed)
    if numeric != np.issubdtype(occurring.dtype, np.integer):
        raise DataError(
            f"{name}: {listed.name} is a number in one file and text in another; write it the same way in both"
        )
    return np.int64 if numeric else str
