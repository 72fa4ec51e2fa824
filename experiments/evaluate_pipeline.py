"""Put trained stages together to a pipeline, and judge it: against its own recall, stage by stage, and for one user.

    python experiments/train_recall.py configs/recall/ml100k/ease.gin
    python experiments/train_prerank.py configs/prerank_ml100k.gin
    python experiments/train_ranker.py configs/pipeline_ranker_ml100k.gin
    python experiments/evaluate_pipeline.py configs/pipeline_ml100k.gin
    python experiments/recommend.py --user 42 --pipeline out/ml100k/pipeline/test

Writes `out/<dataset>/pipeline/`: `valid/` and `test/`, each a folder that is complete in itself and may be copied to
another machine, and `metrics.json` with the self-contained page `pipeline.html`. The weight of the ranker is chosen on
validation; the test part only judges.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import get_args

import gin
import numpy as np

import genrec
from genrec import config
from genrec.artifacts import stage_folder, write_text
from genrec.data.load import load_dataset
from genrec.data.splits import LeaveOneOut, Part, Split, Splitter
from genrec.data.tables import Dataset
from genrec.errors import ConfigError
from genrec.evaluation.diversity import LAMBDAS
from genrec.evaluation.pipeline_report import PipelineFigures, pipeline_text, write_pipeline_report
from genrec.evaluation.protocol import evaluation_set
from genrec.features.base import ItemEncoder, ItemFeatures
from genrec.pipeline import Pipeline
from genrec.pipeline_bench import judge_pipeline, latency, weigh_ranker
from genrec.pipeline_store import Sources, load_pipeline, save_pipeline
from genrec.rerank.base import Reranker
from genrec.stages import Settings
from genrec.training.runtime import Runtime

K = 10  # cut-off of headline figures


@gin.configurable
def evaluate(
    *,
    dataset: str,
    recaller: str,
    ranker: str | None = None,
    reranker: Reranker | None = None,
    settings: Settings | None = None,
    weights: Sequence[float] = (),
    dataset_folder: str | None = None,
    dataset_split: str | None = None,
    splitter: Splitter | None = None,
    features: ItemEncoder | None = None,
    prerank_features: ItemEncoder | None = None,
    recaller_path: str | None = None,
    preranker_path: str | None = None,
    ranker_path: str | None = None,
    parts: Sequence[str] = ("valid", "test"),
    ks: Sequence[int] = (5, 10, 20),
    lambdas: Sequence[float] = LAMBDAS,
    max_users: int | None = None,
    timed_users: int = 200,
    runtime: Runtime | None = None,
    out: str | None = None,
) -> None:
    """Build the pipelines of both parts, and judge them.

    Args:
        dataset: name of the dataset.
        recaller: name of what experiments/train_recall.py has trained, in out/<dataset>/recall-NAME.
        ranker: name of what experiments/train_ranker.py has trained, in out/<dataset>/rank-NAME; none if not given.
        reranker: makes the final order, for instance @base.Chain(); none if not given.
        settings: how the stages work together, @stages.Settings().
        weights: of the ranker, of which the best on validation takes the place of stages.Settings.rank_weight.
        dataset_folder: where the dataset's files are.
        dataset_split: category of a dataset that has several.
        splitter: leave-one-out if not given; the one that the stages were trained with.
        features: encoder of the items, by which lists are diverse.
        prerank_features: encoder that the pre-ranker of experiments/train_prerank.py was trained with, which then takes
            part; without it there is none.
        recaller_path: folder of the recaller instead.
        preranker_path: folder of the pre-ranker; out/<dataset>/prerank if not given.
        ranker_path: folder of the ranker instead.
        parts: what to judge, `valid`, `test` or both.
        ks: cut-offs; must hold 10.
        lambdas: of MMR, for the curve of diversity and accuracy.
        max_users: a random sample of users; all if not given.
        timed_users: users that are asked for one by one, for latency; 0 leaves that out.
        runtime: threads.
        out: output folder; out/<dataset>/pipeline if not given.
    """
    if K not in ks:
        raise ConfigError(f"evaluate.ks must hold {K}, the cut-off of the headline figures; got {list(ks)}")
    if not parts or not set(parts) <= set(get_args(Part)):
        raise ConfigError(f"evaluate.parts must be 'valid', 'test' or both, got {list(parts)}")
    (runtime or Runtime()).seed_everything()
    data = load_dataset(dataset, dataset_folder, dataset_split)
    split = (splitter or LeaveOneOut())(data.interactions)
    home, folder = Path("out") / data.name, stage_folder(out, data.name, "pipeline")
    sources = Sources(
        Path(recaller_path or home / f"recall-{recaller}"),
        None if ranker is None else Path(ranker_path or home / f"rank-{ranker}"),
        None if prerank_features is None else Path(preranker_path or home / "prerank"),
    )
    known, tasted = (
        None if one is None else one.encode(data.items, split.train) for one in (features, prerank_features)
    )
    settings = replace(settings or Settings(), recaller=recaller)
    extra: dict[str, float] = {}
    if weights:
        pipeline = build(folder, sources, data, split, "valid", known, tasted, reranker, settings)
        tried = weigh_ranker(pipeline, evaluation_set(split, "valid", max_users), weights, K)
        extra = {f"valid/pipeline/rank_weight/{weight:g}/ndcg@{K}": ndcg for weight, ndcg in tried.items()}
        settings = replace(settings, rank_weight=max(tried, key=lambda weight: tried[weight]))
    figures = []
    for part in get_args(Part):
        pipeline = build(folder, sources, data, split, part, known, tasted, reranker, settings)
        if part not in parts:
            continue
        cases = evaluation_set(split, part, max_users)
        judged = judge_pipeline(pipeline, cases, ks, k=K, lambdas=lambdas)
        asked = np.random.default_rng(0).permutation(cases.users)[:timed_users]
        times = latency(pipeline, asked, max(ks)) if timed_users else ()
        figures.append(PipelineFigures(judged.comparison, judged.stages, judged.curve, times, K))
        print(f"{pipeline_text(figures[-1])}\n")
    facts = {
        "Dataset": data.name,
        "Split": str(split),
        "Recaller": sources.recaller.as_posix(),
        "Pre-ranker": "none" if sources.preranker is None else sources.preranker.as_posix(),
        "Ranker": "none" if sources.ranker is None else sources.ranker.as_posix(),
        **{name: str(value) for name, value in asdict(settings).items()},
        "Code version": genrec.__version__,
        "Created": time.strftime("%Y-%m-%d %H:%M"),
    }
    write_text(folder / "config.gin", config.operative_text())
    page = write_pipeline_report(folder, figures, f"Pipeline on {data.name}", facts, extra)
    print(f"{split}\nranker's weight {settings.rank_weight:g}; report: {page}")


def build(
    folder: Path,
    sources: Sources,
    data: Dataset,
    split: Split,
    part: Part,
    features: ItemFeatures | None,
    tasted: ItemFeatures | None,
    reranker: Reranker | None,
    settings: Settings,
) -> Pipeline:
    """Write the pipeline of a part, and read it as whoever serves it does."""
    save_pipeline(
        folder / part,
        sources,
        data,
        split,
        part,
        features=features,
        tasted=tasted,
        reranker=reranker,
        settings=settings,
        config=config.operative_text(),
        rerun=shlex.join(["python", *sys.argv]),
    )
    return load_pipeline(folder / part, split=split, part=part)


if __name__ == "__main__":
    sys.exit(config.main(evaluate, description=__doc__))
