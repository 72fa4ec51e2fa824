"""Show a user's history and what the trained model, or a pipeline, recommends next.

    python experiments/recommend.py --user 42
    python experiments/recommend.py --user 1 --gin "recommend.dataset='ml1m'"
    python experiments/recommend.py --user 42 --pipeline out/ml100k/pipeline/test --html user42.html

For the model the whole history counts, also what the comparison keeps for its test. A pipeline knows what its folder
holds, and needs nothing else but posters: it prints a table for every stage and says of each item why it is there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gin
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genrec import config
from genrec.artifacts import write_text
from genrec.data.load import load_dataset
from genrec.data.order import canonical, time_order
from genrec.data.recommendations import Recommendations
from genrec.data.tables import ItemTable
from genrec.errors import ConfigError
from genrec.evaluation.page import write_page
from genrec.features.images.decode import UnreadableImage
from genrec.features.images.thumbnail import thumbnail
from genrec.generative.store import load_model
from genrec.pipeline import Pipeline
from genrec.pipeline_store import load_pipeline
from genrec.recall.base import check_k
from genrec.recall.generative import recallers
from genrec.tokenizer.semantic_ids import SemanticIds, show
from genrec.tokenizer.store import load_ids
from genrec.trace import Trace, trace_text
from genrec.trace_page import trace_sections

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
    pipeline: str | None = None,
    topk_recall: int = 200,
    lambda_mmr: float | None = None,
    html: str | None = None,
    trace_json: str | None = None,
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
        pipeline: folder of a pipeline, such as out/ml100k/pipeline/test, to recommend with in place of the model.
        topk_recall: candidates of its recall.
        lambda_mmr: weight of relevance in its MMR; that of the pipeline if not given.
        html: file for a page with posters, those of the item table or posters/<item id>.jpg in `dataset_folder`.
        trace_json: file for the trace.
    """
    check_k(k)
    if pipeline is None:
        if html or trace_json:
            raise ConfigError("recommend.html and .trace_json are of a pipeline; bind recommend.pipeline too")
        recommend_by_model(
            user,
            k,
            method,
            dataset,
            dataset_folder,
            dataset_split,
            semantic_ids_path,
            decoder_path,
            width,
        )
        return
    loaded = load_pipeline(Path(pipeline))
    trace = loaded.recommend_for_user(user, topk_recall, k, lambda_mmr)
    index = loaded.world.index_of.get(user)
    history = loaded.world.histories[index] if index is not None else np.zeros(0, dtype=np.int32)
    print(f"{pipeline}, user {user}: {len(history)} items in the history, the newest last")
    print("\n".join(f"  {loaded.world.titles[item]}" for item in history[-SHOWN:]))
    if trace.fallback:
        print(f"{trace.fallback}: recall gives the most popular items")
    print(f"\n{trace_text(trace, k)}")
    if trace_json:
        write_text(Path(trace_json), json.dumps(trace.to_json(), indent=2, allow_nan=False) + "\n")
    if html:
        write_trace_page(Path(html), trace, loaded, Path(dataset_folder or Path("dataset") / dataset))


def write_trace_page(path: Path, trace: Trace, pipeline: Pipeline, home: Path) -> None:
    """The trace as a page, with the posters that are there."""
    frame = pipeline.world.items.frame
    named = frame["image_path"] if "image_path" in frame else [None] * len(frame)
    paths = {
        item: home / (name if isinstance(name, str) else f"posters/{item}.jpg")
        for item, name in zip(pipeline.world.items.ids.tolist(), named, strict=True)
    }

    def picture(item: int | str) -> bytes | None:
        try:
            return thumbnail(paths[item]) if paths[item].is_file() else None
        except UnreadableImage:
            return None

    title = f"Why these items: user {trace.user_id}"
    print(f"\npage: {write_page(path, title, trace_sections(trace, picture))}")


def recommend_by_model(
    user: str,
    k: int,
    method: str,
    dataset: str,
    dataset_folder: str | None,
    dataset_split: str | None,
    semantic_ids_path: str | None,
    decoder_path: str | None,
    width: int,
) -> None:
    """Print a user's history and what the trained model recommends."""
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
    sys.exit(
        config.main(
            recommend,
            description=__doc__,
            options={"user": str, "k": int, "method": str, "pipeline": str, "html": str},
        )
    )
