"""A small dataset, and a pipeline of two channels, a ranker and a chain over it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from genrec.data.order import canonical, time_order
from genrec.data.tables import Dataset, Interactions, ItemTable, UserTable
from genrec.evaluation.protocol import Recommender
from genrec.features.metadata import Genres
from genrec.pipeline import Pipeline, PreRanker
from genrec.ranking.calibration import Platt
from genrec.ranking.inputs import InputLayer
from genrec.ranking.models.deepfm import DeepFm
from genrec.ranking.schema import Schema
from genrec.ranking.store import Ranker
from genrec.recall.ease import Ease
from genrec.recall.itemknn import ItemKnn
from genrec.recall.merged import Merged
from genrec.rerank.base import Chain, Reranker
from genrec.rerank.filters import SeenFilter
from genrec.rerank.mmr import Mmr
from genrec.stages import Settings, World

N_USERS, N_ITEMS = 30, 25
LONER, GLUTTON = 28, 29  # who has no event, and who has had every item
NOBODY = -1
FEATURES = {
    "user": {"kind": "categorical", "source": "user"},
    "item": {"kind": "categorical", "source": "item"},
    "genres": {"kind": "multi_label", "source": "item.genres"},
    "popularity": {"kind": "numeric", "source": "statistic.item_count", "transform": "log"},
    "since": {"kind": "bucketised", "source": "statistic.user_recency", "bins": 4},
    "history": {"kind": "sequence", "source": "history", "length": 5, "shares": "item"},
}


def dataset() -> Dataset:
    """Events of 28 users with 8 items each, and of one with all."""
    rng = np.random.default_rng(0)
    items = np.concatenate([np.sort(rng.choice(N_ITEMS, 8, replace=False)) for _ in range(LONER)])
    items = np.concatenate([items, np.arange(N_ITEMS)]).astype(np.int32)
    users = np.concatenate([np.repeat(np.arange(LONER), 8), np.full(N_ITEMS, GLUTTON)]).astype(np.int32)
    ratings = rng.integers(1, 6, len(users)).astype(np.float32)
    times = 1_000_000 + 1000 * rng.permutation(len(users))
    events = canonical(Interactions(users, items, N_USERS, N_ITEMS, ratings, times.astype(np.int64)))
    frame = pd.DataFrame(
        {
            "item_id": 100 + np.arange(N_ITEMS),
            "title": [f"film {item}" for item in range(N_ITEMS)],
            "year": pd.array([None, *(1980 + np.arange(N_ITEMS - 1))], dtype="Int64"),
            "genres": [["Drama"] if item % 3 else ["War", "Comedy"] for item in range(N_ITEMS)],
        }
    )
    people = UserTable(pd.DataFrame({"user_id": [f"u{user}" for user in range(N_USERS)]}))
    return Dataset("small", events, ItemTable(frame), people, "d" * 64)


def in_order(events: Interactions) -> Interactions:
    """Events by user and time."""
    return events.take(time_order(events, seed=0)[0])


def ranker(data: Dataset, log: Interactions) -> Ranker:
    """With random weights."""
    torch.manual_seed(0)
    schema = Schema(FEATURES).fit(log, data.items, data.users)
    return Ranker(DeepFm(InputLayer(schema, 4, init_std=0.5), hidden=(6,)).eval(), schema, Platt(0.5, -1.0))


def merged() -> Merged:
    """Two channels, not fitted."""
    return Merged({"ease": Ease(l2=5.0), "itemcf": ItemKnn(neighbours=10)}, depth=N_ITEMS)


def chain() -> Chain:
    return Chain((SeenFilter(), Mmr(lambda_mmr=0.8)))


def pipeline(
    *,
    recaller: Recommender | None = None,
    settings: Settings | None = None,
    preranker: PreRanker | None = None,
    reranker: Reranker | None = None,
    ranked: bool = True,
) -> Pipeline:
    """All stages over all events; a chain where no other re-ranker is given."""
    data = dataset()
    log = in_order(data.interactions)
    world = World(data.items, data.users.ids, log, Genres().encode(data.items, log))
    return Pipeline(
        recaller or merged().fit(log, data.items),
        world,
        ranker=ranker(data, log) if ranked else None,
        preranker=preranker,
        reranker=reranker or chain(),
        settings=settings or Settings(topk_recall=12, rank_weight=0.5),
    )
