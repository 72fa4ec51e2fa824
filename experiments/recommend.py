"""Show a user's history and what the trained model recommends next.

    python experiments/recommend.py --user 42
    python experiments/recommend.py --user 1 --gin "recommend.dataset='ml1m'"

The whole history counts, also what the comparison keeps for its test.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gin
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genrec import config
from genrec.data.load import load_dataset
from genrec.data.order import canonical, time_order
from genrec.data.recommendations import Recommendations
from genrec.data.tables import ItemTable
from genrec.errors import ConfigError
from genrec.generative.store import load_model
from genrec.recall.base import check_k
from genrec.recall.generative import recallers
from genrec.tokenizer.semantic_ids import SemanticIds, show
from genrec.tokenizer.store import load_ids

SHOWN = 15  # newest items of the history that are printed


@gin.configurable
def recommend(
    *,
    user: str,
    k: int = 10,
    method: str = "generative",
    dataset: str = "ml100k",
    dataset_folder: str | None = None,
    dataset_split: str | None = None,
    semantic_ids_path: str | None = None,
    decoder_path: str | None = None,
    width: int = 50,
) -> None:
    """Print a user's history and recommendations with titles, semantic ids and scores.

    Args:
        user: raw user id.
        k: recommendations.
        method: generative or embedding.
        dataset: name of the dataset.
        dataset_folder: where the dataset's files are.
        dataset_split: category of a dataset that has several.
        semantic_ids_path: the tokenizer's artifact; out/<dataset>/tokenizer if not given.
        decoder_path: the decoder's artifact; out/<dataset>/decoder if not given.
        width: beam width.
    """
    check_k(k)
    data = load_dataset(dataset, dataset_folder, dataset_split)
    index = data.users.index_of(user)
    if index is None:
        known = ", ".join(map(str, data.users.ids[:3]))
        raise ConfigError(
            f"user {user} is not in {data.name}, whose {len(data.users)} users are {known}, ..."
        )
    home = Path("out") / data.name
    stored = load_ids(Path(semantic_ids_path or home / "tokenizer"), data.items)
    model = load_model(Path(decoder_path or home / "decoder"), stored)
    events = canonical(data.interactions)
    events = events.take(time_order(events, seed=0)[0])
    methods = recallers(model, events, data.items, width)
    if method not in methods:
        raise ConfigError(f"recommend.method is {method!r}; this model has {', '.join(methods)}")
    history = events.items[events.users == index]
    found = methods[method].recommend(np.array([index], dtype=np.int32), k)
    print(f"{data.name}, user {user}: {len(history)} items in the history, the newest last")
    print("\n".join(lines(history[-SHOWN:], stored.ids, data.items)))
    print(f"\nrecommended ({method}, log-probability or logit first)")
    print("\n".join(scored_lines(found, stored.ids, data.items)))


def lines(items: NDArray[np.int32], ids: SemanticIds, table: ItemTable) -> list[str]:
    """One line per item: semantic id, title, year, genres."""
    rows = table.frame.iloc[items]
    genres = [", ".join(names) for names in rows["genres"]]
    years = ["" if pd.isna(year) else f" ({year})" for year in rows["year"]]
    return [
        f"  {show(code):<18} {title}{year}  {genre}"
        for code, title, year, genre in zip(ids.codes[items], rows["title"], years, genres, strict=True)
    ]


def scored_lines(found: Recommendations, ids: SemanticIds, table: ItemTable) -> list[str]:
    """The lines of the first user's list, each with rank and score."""
    items = found.items[0][found.items[0] >= 0]
    described = lines(items, ids, table)
    return [
        f"{rank:>3} {score:>8.3f}{line}"
        for rank, (score, line) in enumerate(zip(found.scores[0], described, strict=False), start=1)
    ]


if __name__ == "__main__":
    sys.exit(config.main(recommend, description=__doc__, options={"user": str, "k": int, "method": str}))
