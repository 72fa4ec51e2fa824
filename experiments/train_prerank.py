"""Train the pre-ranker of a pipeline: a small network that thins out recall's candidates for the ranker.

    python experiments/train_prerank.py configs/prerank_ml100k.gin

It learns from the last training event of every user, among the candidates of the stored recaller, fitted anew without
those events; validation chooses the weights. Writes `out/<dataset>/prerank/`.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import gin
import numpy as np

from genrec import config
from genrec.artifacts import input_ref, read_manifest, stage_folder, text_hash
from genrec.data.histories import Histories
from genrec.data.load import load_dataset
from genrec.data.splits import LeaveOneOut, Splitter
from genrec.errors import ConfigError
from genrec.evaluation.comparison import write_metrics
from genrec.evaluation.metrics import accuracy
from genrec.evaluation.protocol import evaluation_set
from genrec.features.base import ItemEncoder
from genrec.preranking import candidate_lists, training_lists
from genrec.ranking.prerank import KIND, CandidateLists, PreRank, PreRanker, PreRankTask, save_prerank
from genrec.recall.base import Recaller
from genrec.recall.store import KIND as RECALLER
from genrec.recall.store import load_recaller
from genrec.training.job import Job
from genrec.training.recipe import Recipe
from genrec.training.runtime import Runtime

K = 10


@gin.configurable
def train(
    *,
    dataset: str,
    recaller: str,
    features: ItemEncoder,
    network: Callable[..., PreRank] = PreRank,
    dataset_folder: str | None = None,
    dataset_split: str | None = None,
    splitter: Splitter | None = None,
    recaller_path: str | None = None,
    depth: int = 200,
    keep: int = 100,
    batch_size: int = 64,
    epochs: int = 20,
    learning_rate: float = 3e-3,
    recipe: Recipe | None = None,
    runtime: Runtime | None = None,
    wandb_logging: bool = False,
    out: str | None = None,
) -> None:
    """Train a pre-ranker, keeping the weights with the best NDCG on validation.

    Args:
        dataset: name of the dataset.
        recaller: name of what experiments/train_recall.py has trained, in out/<dataset>/recall-NAME.
        features: encoder of the items; their vectors, and users by those of their newest items, are what it reads.
        network: @prerank.PreRank, not called, to bind its layers.
        dataset_folder: where the dataset's files are.
        dataset_split: category of a dataset that has several.
        splitter: leave-one-out if not given; the one that the recaller was trained with.
        recaller_path: folder of the recaller instead.
        depth: candidates of recall.
        keep: candidates that are to be left; how many targets are among them is told.
        batch_size: lists per step.
        epochs: most passes over the lists.
        learning_rate: peak learning rate.
        recipe: optimiser, schedule, patience, checkpoints.
        runtime: device, seed, threads.
        wandb_logging: log to Weights & Biases too; offline without a key.
        out: output folder; out/<dataset>/prerank if not given.
    """
    if epochs < 1:
        raise ConfigError(f"train.epochs must be at least 1, got {epochs}")
    if not K <= keep <= depth:
        raise ConfigError(f"train.keep must be from {K} to train.depth, which is {depth}; got {keep}")
    runtime, recipe = runtime or Runtime(), recipe or Recipe(patience=6)
    data = load_dataset(dataset, dataset_folder, dataset_split)
    split = (splitter or LeaveOneOut())(data.interactions)
    folder = Path(recaller_path or Path("out") / data.name / f"recall-{recaller}") / "valid"
    stored: Recaller = load_recaller(folder, split.train)  # type: ignore[assignment] # what is stored is a recaller
    known = features.encode(data.items, split.train)
    cases = evaluation_set(split, "valid")
    users, targets = cases.users[cases.target_rows], cases.target_items
    chosen = candidate_lists(stored, known, Histories.of(split.train), users, targets, depth)
    learned = training_lists(stored, split.train, data.items, known, depth)
    runtime.seed_everything()
    model = network(known.width)

    def judge() -> dict[str, float]:
        return judged(model, chosen, keep)

    task = PreRankTask(model, learned, batch_size, runtime.seed, judge)
    inputs = {
        "dataset": input_ref(data.name, data.content_hash),
        "split": input_ref(split.protocol, split.hash),
        "features": input_ref(known.encoder, known.digest),
        "recaller": input_ref(folder, read_manifest(folder, RECALLER).identity),
    }
    hashes = [f"{name} {one['hash']}" for name, one in inputs.items()]
    job = Job(
        stage_folder(out, data.name, "prerank"),
        name=f"{data.name}-prerank",
        identity=text_hash("\n".join([config.config_hash(("out", "wandb_*")), *hashes])),
        runtime=runtime,
        wandb=wandb_logging,
        configuration=config.full_text(),
        operative=config.operative_text,
    )
    steps = task.steps_per_epoch
    settings = recipe.settings(
        iterations=epochs * steps, learning_rate=learning_rate, epoch=steps, monitor="ndcg"
    )
    plain = judge()  # untrained, it keeps the order of recall
    result = job.train(task, recipe.optimizer(task.model, learning_rate), settings)
    found = judge()
    figures = {f"valid/prerank/{name}@{k}": found[name] for name, k in (("ndcg", K), ("kept", keep))}
    figures |= {f"valid/recall/{name}@{k}": plain[name] for name, k in (("ndcg", K), ("kept", keep))}
    figures["time/train_seconds"] = result.seconds
    save_prerank(
        job.folder,
        model,
        config=config.operative_text(),
        inputs=inputs,
        metrics=figures,
        rerun=shlex.join(["python", *sys.argv]),
    )
    write_metrics(job.folder, figures)
    job.finish(figures, "prerank", KIND)
    print(f"{split}\n{said(figures, len(learned.candidates), keep)}\npre-ranker in {job.folder}")


def judged(model: PreRank, lists: CandidateLists, keep: int) -> dict[str, float]:
    """NDCG of the lists as the model orders them, and the share of those with their target among the first `keep`."""
    assert lists.labels is not None
    scores = PreRanker(model, lists.items)(lists.users, lists.candidates, lists.scores)
    model.train()
    hit = np.take_along_axis(lists.labels > 0, np.argsort(-scores, axis=1, kind="stable"), axis=1)
    ndcg = accuracy(hit, np.ones(len(hit), dtype=np.int64), [K])[f"ndcg@{K}"]
    return {"ndcg": float(ndcg.mean()), "kept": float(hit[:, :keep].any(axis=1).mean())}


def said(figures: Mapping[str, float], lists: int, keep: int) -> str:
    """What came of it."""
    ndcg, alone, kept, before = (
        figures[f"valid/{method}/{name}"]
        for name in (f"ndcg@{K}", f"kept@{keep}")
        for method in ("prerank", "recall")
    )
    return (
        f"{lists} lists to learn from; NDCG@{K} on validation {ndcg:.4f}, recall alone {alone:.4f}; among the first "
        f"{keep} are {kept:.1%} of the targets, {before:.1%} by recall"
    )


if __name__ == "__main__":
    sys.exit(config.main(train, description=__doc__))
