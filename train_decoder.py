"""Train a generative recommender on a tokenizer's semantic IDs.

    python train_decoder.py configs/decoder_ml100k.gin

Writes the artifact to `out/<dataset>/decoder/`, with `metrics.jsonl` and checkpoints beside it; a killed run
continues where it was when the same command is given again.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import gin
import torch

from genrec import config
from genrec.artifacts import input_ref, stage_folder, text_hash, write_json
from genrec.data.histories import Histories
from genrec.data.load import load_dataset
from genrec.data.splits import LeaveOneOut, Part, Split, Splitter
from genrec.errors import ConfigError
from genrec.evaluation.judge import Judge
from genrec.evaluation.protocol import evaluation_set
from genrec.generative.batches import BatchPlan
from genrec.generative.store import Model, model_features, model_name, save_model
from genrec.generative.task import GenerativeTask
from genrec.generative.timeline import Timeline
from genrec.generative.tree import CodeTree
from genrec.recall.generative import recallers
from genrec.tokenizer.store import StoredIds, load_ids
from genrec.training.job import Job
from genrec.training.recipe import Recipe
from genrec.training.runtime import Runtime

UNRELATED = ("out", "wandb_*")  # bindings that change where results go, not what they are

VALIDATION_WIDTH = 20  # beams while training; the comparison afterwards uses more


@gin.configurable
def train(
    *,
    dataset: str,
    model: Callable[..., Model] = Timeline,
    plan: Callable[..., BatchPlan] = BatchPlan,
    dataset_folder: str | None = None,
    dataset_split: str | None = None,
    semantic_ids_path: str | None = None,
    poster_feature_path: str | None = None,
    splitter: Splitter | None = None,
    part: Part = "valid",
    decoder_embed_dim: int | None = None,
    attn_embed_dim: int | None = None,
    attn_heads: int | None = None,
    attn_layers: int | None = None,
    batch_size: int = 256,
    batch_tokens: int = 4096,
    iterations: int = 3000,
    learning_rate: float = 1e-3,
    judge: Judge | None = None,
    recipe: Recipe | None = None,
    runtime: Runtime | None = None,
    wandb_logging: bool = False,
    out: str | None = None,
) -> None:
    """Train a generative model, keeping the weights that are best on validation.

    Args:
        dataset: ml100k, ml-latest-small, ml1m, ml20m, ml25m, ml32m, amazon or custom.
        model: @timeline.Timeline or @tiger.Tiger, not called.
        plan: @batches.BatchPlan, or @sliding.SlidingBatchPlan for Tiger, not called.
        dataset_folder: where the dataset's files are or go.
        dataset_split: category of a dataset that has several: beauty, sports, toys.
        semantic_ids_path: the tokenizer's artifact; out/<dataset>/tokenizer if not given.
        poster_feature_path: poster features the tokenizer must have been trained with.
        splitter: leave-one-out if not given.
        part: what the model is for. `valid`: learn from training events, keep what is best on validation. `test`:
            with all settings chosen so, learn from training and validation events for exactly `iterations` steps.
        decoder_embed_dim: width of item and code embeddings.
        attn_embed_dim: width of the transformer; of Tiger's attention, all heads together.
        attn_heads: attention heads.
        attn_layers: transformer blocks.
        batch_size: most histories per step.
        batch_tokens: about how many items, padding included, per step.
        iterations: most steps; early stopping may end before (recipe.Recipe.patience).
        learning_rate: peak learning rate.
        judge: how validation is done.
        recipe: optimiser, schedule, patience, checkpoints.
        runtime: device, seed, threads, precision.
        wandb_logging: log to Weights & Biases too; offline without a key.
        out: output folder; out/<dataset>/decoder if not given.
    """
    runtime, recipe, judge = runtime or Runtime(), recipe or Recipe(), judge or Judge()
    data = load_dataset(dataset, dataset_folder, dataset_split)
    split = (splitter or LeaveOneOut())(data.interactions)
    stored = load_ids(Path(semantic_ids_path or f"out/{data.name}/tokenizer"), data.items, split.hash)
    check_posters(poster_feature_path, [modality for modality, _ in stored.features.parts])
    runtime.seed_everything()
    sizes = {
        "embed_dim": decoder_embed_dim,
        "width": attn_embed_dim,
        "heads": attn_heads,
        "layers": attn_layers,
    }
    given = {name: value for name, value in sizes.items() if value is not None}
    network = model(CodeTree.of(stored.ids.codes, stored.ids.sizes), model_features(stored), **given)
    model_name(network)  # one that could not be stored is refused now, not after training
    learned_from = split.before(part)
    network.leave_out(torch.from_numpy(learned_from.item_counts() == 0))
    batches = plan(
        Histories.of(learned_from),
        max_length=network.max_length,
        tokens=batch_tokens,
        rows=batch_size,
        seed=runtime.seed,
    )
    cases = evaluation_set(split, "valid", judge.max_users)

    def validate() -> dict[str, float]:
        if part == "test":
            return {}  # nothing is held out to choose by
        methods = recallers(network, split.train, data.items, VALIDATION_WIDTH)
        return judge(methods, cases, runtime.processes)

    settings = recipe.settings(
        iterations=iterations,
        learning_rate=learning_rate,
        epoch=batches.steps_per_epoch,
        monitor=judge.monitor if part == "valid" else None,
    )
    job = Job(
        stage_folder(out, data.name, "decoder"),
        name=f"{data.name}-decoder",
        identity=text_hash(config.config_hash(UNRELATED) + data.content_hash + split.hash + stored.identity),
        runtime=runtime,
        wandb=wandb_logging,
        configuration=config.full_text(),
        operative=config.operative_text,
    )
    task = GenerativeTask(
        network, batches, validate, rank=runtime.processes.rank, size=runtime.processes.size
    )
    result = job.train(task, recipe.optimizer(network, learning_rate), settings)
    figures = {f"valid/{name}": value for name, value in validate().items()}
    runtime.close()
    if runtime.is_main:
        figures["time/train_seconds"] = result.seconds
        figures["train/best_step"] = float(result.best_step or result.step)
        write(network, stored, split, part, figures, job)
        print(f"generative model in {job.folder}; {summary(figures, judge.monitor)}")


def write(
    model: Model, ids: StoredIds, split: Split, part: Part, figures: Mapping[str, float], job: Job
) -> None:
    """Write the artifact and its figures, and hand both to the trackers."""
    save_model(
        job.folder,
        model,
        ids,
        config=config.operative_text(),
        config_hash=config.config_hash(UNRELATED),
        split=input_ref(split.protocol, split.hash),
        part=part,
        metrics=figures,
        rerun=shlex.join(["python", *sys.argv]),
    )
    write_json(job.folder / "metrics.json", figures)
    job.finish(figures, "generative-model", "generative_model")


def check_posters(path: str | None, modalities: list[str]) -> None:
    """The decoder reads the features its tokenizer stored; asking for posters they lack is an error."""
    if path is not None and "image" not in modalities:
        raise ConfigError(
            f"train.poster_feature_path is {path!r}, but the semantic ids were trained without posters; run "
            "train_rqvae.py with the same binding first, or remove it"
        )


def summary(metrics: Mapping[str, float], monitor: str) -> str:
    """One line for the end of the run."""
    step, seconds = metrics["train/best_step"], metrics["time/train_seconds"]
    judged = metrics.get(f"valid/{monitor}")
    best = "validation was trained on" if judged is None else f"best {monitor} {judged:.4f} on validation"
    return f"{best}, step {step:.0f}, {seconds:.0f} s"


if __name__ == "__main__":
    sys.exit(config.main(train, description=__doc__))
