"""Train one rank model on labelled rows, calibrate it, and store it with its features.

    python experiments/train_ranker.py --model deepfm configs/data/ml100k.gin
    python experiments/train_ranker.py --model din configs/rank/ml1m/din.gin

`--model NAME` reads `configs/rank/NAME.gin` before CONFIG. The model learns from the rows of the training part and
keeps the weights with the best AUC (`train.monitor`) on the validation part, on which it is then calibrated; the test
part is left to `experiments/evaluate_ranking.py`. Writes `out/<dataset>/rank-NAME/`; a killed training goes on when the
same command is given again.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import gin
import numpy as np
from numpy.typing import NDArray

from genrec import config
from genrec.artifacts import input_ref, stage_folder, text_hash
from genrec.config.options import Named
from genrec.data.load import load_dataset
from genrec.data.splits import GlobalTime, Split, Splitter
from genrec.data.tables import Dataset
from genrec.errors import ConfigError
from genrec.evaluation.comparison import write_metrics
from genrec.evaluation.ranking_metrics import validation_figures
from genrec.features.base import ItemEncoder, ItemFeatures
from genrec.ranking.calibration import Calibration, Platt
from genrec.ranking.examples import Epochs, Examples
from genrec.ranking.inputs import InputLayer
from genrec.ranking.labels import LabelRule
from genrec.ranking.losses import Bce, Loss
from genrec.ranking.models.base import RankModel, rank_model_name
from genrec.ranking.negatives import Negatives
from genrec.ranking.schema import Schema
from genrec.ranking.spacing import spaced
from genrec.ranking.splits import LabelledPart, ranking_split, rated_in_time
from genrec.ranking.store import KIND, Ranker, save_ranker
from genrec.ranking.task import RankTask, main_logits, predict
from genrec.tokenizer.semantic_ids import catalogue_hash
from genrec.tokenizer.store import StoredIds, load_ids
from genrec.training.job import Job
from genrec.training.recipe import Recipe
from genrec.training.runtime import Runtime

MONITORS = ("auc", "gauc")
UNRELATED = ("out", "wandb_*")  # bindings that change where results go, not what they are


@gin.configurable
def train(
    *,
    model: str,
    dataset: str,
    network: Callable[..., RankModel],
    schema: Schema,
    dataset_folder: str | None = None,
    dataset_split: str | None = None,
    rated_only: bool = False,
    splitter: Splitter | None = None,
    labels: LabelRule | None = None,
    negatives: Negatives | None = None,
    live: bool = False,
    space_ties: bool = False,
    features: ItemEncoder | None = None,
    semantic_ids_path: str | None = None,
    inputs: Callable[..., InputLayer] = InputLayer,
    width: int = 16,
    loss: Loss | None = None,
    calibration: Calibration | None = None,
    batch_size: int = 1024,
    epochs: int = 10,
    learning_rate: float = 1e-3,
    monitor: str = "auc",
    recipe: Recipe | None = None,
    runtime: Runtime | None = None,
    wandb_logging: bool = False,
    out: str | None = None,
) -> None:
    """Train a ranker, keeping the weights that are best on validation.

    Args:
        model: name of the ranker in folders and figures; as a flag, of its file in configs/rank.
        dataset: name of the dataset.
        network: a model of genrec/ranking/models, not called, for instance @deepfm.DeepFm.
        schema: declared features, @schema.Schema().
        dataset_folder: where the dataset's files are.
        dataset_split: category of a dataset that has several.
        rated_only: leave out events that lack a rating or a time, before the split.
        splitter: by time over all users if not given.
        labels: which ratings are good; those of at least 4 if not given.
        negatives: items to add that the user did not choose, @negatives.Uniform(); none if not given.
        live: whether validation rows see earlier events of their own part, as a system that records them would.
        space_ties: whether a row sees events of its user at the very same time that come before it by the split's rule
            for ties; they are moved apart by a second each then, in all parts.
        features: encoder of the items, for features of kind `embedding`.
        semantic_ids_path: the tokenizer's artifact, for features of kind `semantic_id`; its item features are taken
            where no encoder is given.
        inputs: @inputs.InputLayer, not called, to bind more of it than the width.
        width: of each feature's vector.
        loss: binary cross-entropy of each row if not given.
        calibration: from logits to probabilities, fitted on validation; Platt's if not given.
        batch_size: most rows per step.
        epochs: most passes over the rows; early stopping may end before (recipe.Recipe.patience).
        learning_rate: peak learning rate.
        monitor: figure on validation that chooses the weights: `auc`, or `gauc`, the AUC within users, for losses that
            compare rows of one group only.
        recipe: optimiser, schedule, patience, checkpoints.
        runtime: device, seed, threads.
        wandb_logging: log to Weights & Biases too; offline without a key.
        out: output folder; out/<dataset>/rank-<model> if not given.
    """
    if epochs < 1:
        raise ConfigError(f"train.epochs must be at least 1, got {epochs}")
    if monitor not in MONITORS:
        raise ConfigError(f"train.monitor must be one of {', '.join(MONITORS)}, got {monitor!r}")
    runtime, recipe, loss = runtime or Runtime(), recipe or Recipe(patience=2), loss or Bce()
    if runtime.processes.size > 1:
        raise ConfigError("train_ranker.py works in one process; start it without torchrun")
    data = load_dataset(dataset, dataset_folder, dataset_split)
    split = (splitter or GlobalTime())(rated_in_time(data.interactions) if rated_only else data.interactions)
    split = spaced(split) if space_ties else split
    vectors, ids = item_content(data, split, features, semantic_ids_path)
    way = None if negatives is None else negatives.knowing(data.items, vectors)
    learned, chosen = labelled(split, labels or LabelRule(), way, live)
    fitted = schema.fit(split.train, data.items, data.users, vectors, ids.ids if ids else None)
    runtime.seed_everything()
    ranker = network(inputs(fitted, width))
    rank_model_name(ranker)  # one that could not be stored is refused now, not after training
    valid = Examples(fitted.with_log(chosen.log).transform, chosen.rows)

    def validate() -> tuple[NDArray[np.float32], dict[str, float]]:
        logits = main_logits(predict(ranker, valid))
        return logits, validation_figures(valid.labels, chosen.rows.users, logits)

    examples = Examples(fitted.transform, learned.rows)
    batches = Epochs(len(examples), batch_size, runtime.seed, examples.groups if loss.grouped else None)
    task = RankTask(ranker, loss, examples, batches, lambda: validate()[1])
    settings = recipe.settings(
        iterations=epochs * batches.steps_per_epoch,
        learning_rate=learning_rate,
        epoch=batches.steps_per_epoch,
        monitor=monitor,
    )
    made_from = origin(data, split, vectors, ids)
    hashes = [f"{name} {one['hash']}" for name, one in made_from.items()]
    job = Job(
        stage_folder(out, data.name, f"rank-{model}"),
        name=f"{data.name}-rank-{model}",
        identity=text_hash("\n".join([config.config_hash(UNRELATED), *hashes])),
        runtime=runtime,
        wandb=wandb_logging,
        configuration=config.full_text(),
        operative=config.operative_text,
    )
    result = job.train(task, recipe.optimizer(task.model, learning_rate), settings)
    logits, known = validate()
    step = (calibration or Platt()).fit(logits, valid.labels)
    figures = {f"valid/{model}/{name}": value for name, value in known.items()}
    figures |= {
        "time/train_seconds": result.seconds,
        "train/best_step": float(result.best_step or result.step),
    }
    figures["time/train_rows_per_second"] = result.step * batches.rows_per_step / result.seconds
    write(job, model, Ranker(ranker, fitted, step), made_from, catalogue_hash(data.items), figures)
    print(
        f"{split}\n{len(examples):,} rows to learn from, {examples.labels.mean():.1%} good; {len(valid):,} to choose "
        f"by\n{model} in {job.folder}; best AUC {known['auc']:.4f}, GAUC {known['gauc']:.4f} on validation, step "
        f"{figures['train/best_step']:.0f}, {result.seconds:.0f} s"
    )


def labelled(
    split: Split, rule: LabelRule, negatives: Negatives | None, live: bool
) -> tuple[LabelledPart, LabelledPart]:
    """Rows to learn from and rows to choose by, with negatives where they are asked for."""
    parts = ranking_split(split, rule, live=live)
    if negatives is None:
        return parts.train, parts.valid
    train, valid = (replace(one, rows=negatives(one.rows, one.log)) for one in (parts.train, parts.valid))
    return train, valid


def item_content(
    data: Dataset, split: Split, encoder: ItemEncoder | None, semantic_ids_path: str | None
) -> tuple[ItemFeatures | None, StoredIds | None]:
    """What features may read of the items beside the table."""
    ids = None if semantic_ids_path is None else load_ids(Path(semantic_ids_path), data.items, split.hash)
    if encoder is not None:
        return encoder.encode(data.items, split.train), ids
    return (None if ids is None else ids.features), ids


def origin(
    data: Dataset, split: Split, vectors: ItemFeatures | None, ids: StoredIds | None
) -> dict[str, dict[str, str]]:
    """References of everything that the ranker is made from."""
    found = {
        "dataset": input_ref(data.name, data.content_hash),
        "split": input_ref(split.protocol, split.hash),
    }
    if vectors is not None:
        found["features"] = input_ref(vectors.encoder, vectors.digest)
    if ids is not None:
        found["semantic_ids"] = input_ref(ids.folder, ids.identity)
    return found


def write(
    job: Job,
    model: str,
    ranker: Ranker,
    made_from: Mapping[str, Mapping[str, str]],
    catalogue: str,
    figures: Mapping[str, float],
) -> None:
    """Write the artifact and its figures, and hand both to the trackers."""
    save_ranker(
        job.folder,
        ranker,
        inputs=made_from,
        catalogue=catalogue,
        config=config.operative_text(),
        config_hash=config.config_hash(UNRELATED),
        metrics=figures,
        rerun=shlex.join(["python", *sys.argv]),
    )
    write_metrics(job.folder, figures)
    job.finish(figures, f"rank-{model}", KIND)


if __name__ == "__main__":
    sys.exit(
        config.main(
            train,
            description=__doc__,
            options={
                "model": Named("configs/rank", others=("base", "features", "judge", "protocol", "random"))
            },
        )
    )
