"""Train an item tokenizer: item features in, semantic IDs and a quality page out.

    python train_rqvae.py configs/rqvae_ml100k.gin

Writes the artifact to `out/<dataset>/tokenizer/`, with `quality.html` and `metrics.jsonl` beside it.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from inspect import isclass, signature
from pathlib import Path

import gin
import numpy as np
import torch

from genrec import config
from genrec.artifacts import input_ref, stage_folder, text_hash, write_json
from genrec.data.load import load_dataset
from genrec.data.splits import LeaveOneOut, Split, Splitter
from genrec.data.tables import Dataset, ItemTable
from genrec.errors import ConfigError
from genrec.evaluation.page import write_page
from genrec.evaluation.tokenizer_quality import TokenizerQuality, quality_section, readable_figures
from genrec.features.base import ItemEncoder, ItemFeatures
from genrec.features.build import build_features
from genrec.tokenizer.assignment import Assignment
from genrec.tokenizer.base import Tokenized, Tokenizer
from genrec.tokenizer.quality import genre_matrix, purity_by_depth, usage_counts
from genrec.tokenizer.rqvae import RqVae
from genrec.tokenizer.semantic_ids import SemanticIds, show
from genrec.tokenizer.store import save_ids
from genrec.tokenizer.task import RqVaeTask
from genrec.training.job import Job
from genrec.training.recipe import Recipe
from genrec.training.runtime import Runtime
from genrec.training.trackers import read_curves

LOSSES = tuple(f"train/{name}" for name in ("reconstruction", "quantisation", "alignment"))
UNRELATED = ("out", "wandb_*")  # bindings that change where results go, not what they are


@gin.configurable
def train(
    *,
    dataset: str,
    features: ItemEncoder,
    tokenizer: Callable[..., Tokenizer] = RqVae,
    dataset_folder: str | None = None,
    dataset_split: str | None = None,
    poster_feature_path: str | None = None,
    collaborative: ItemEncoder | None = None,
    splitter: Splitter | None = None,
    assignment: Assignment | None = None,
    vae_input_dim: int | None = None,
    vae_embed_dim: int | None = None,
    vae_codebook_size: int | None = None,
    vae_n_layers: int | None = None,
    commitment_weight: float | None = None,
    batch_size: int = 256,
    iterations: int = 3000,
    learning_rate: float = 1e-3,
    recipe: Recipe | None = None,
    runtime: Runtime | None = None,
    wandb_logging: bool = False,
    out: str | None = None,
) -> None:
    """Train a tokenizer and write semantic ids.

    Args:
        dataset: ml100k, ml-latest-small, ml1m, ml20m, ml25m, ml32m, amazon or custom.
        features: encoder of the items, for instance @fusion.Concat().
        tokenizer: @rqvae.RqVae, @rqkmeans.RqKMeans, @product.ProductQuantiser, @hierarchical.HierarchicalKMeans
            or @random_ids.RandomIds, not called.
        dataset_folder: where the dataset's files are or go.
        dataset_split: category of a dataset that has several: beauty, sports, toys.
        poster_feature_path: .npy of poster features, one row per item, added to the features.
        collaborative: encoder of training histories, for instance @collaborative.CoOccurrence(), with whose vectors
            an RQ-VAE aligns its codes; it needs RqVae.alignment_weight.
        splitter: which events encoders may learn from: its training part; leave-one-out if not given.
        assignment: how codes become unique ids, and the collapse alarm.
        vae_input_dim: width of the features, checked when given.
        vae_embed_dim: width of the latent space.
        vae_codebook_size: codes per level.
        vae_n_layers: levels.
        commitment_weight: weight of the commitment term.
        batch_size: items per step.
        iterations: steps; k-means and random ids have none.
        learning_rate: peak learning rate.
        recipe: optimiser, schedule, checkpoints.
        runtime: device, seed, threads, precision.
        wandb_logging: log to Weights & Biases too; offline without a key.
        out: output folder; out/<dataset>/tokenizer if not given.
    """
    runtime, recipe = runtime or Runtime(), recipe or Recipe(weight_decay=0.0)
    assignment = assignment or Assignment()
    data = load_dataset(dataset, dataset_folder, dataset_split)
    split = (splitter or LeaveOneOut())(data.interactions)
    described = build_features(features, data.items, split.train, poster_feature_path, vae_input_dim)
    described = assignment.described(described, data.items)
    behaviour = None if collaborative is None else collaborative.encode(data.items, split.train)
    if recipe.ema is not None:
        raise ConfigError(
            "Recipe.ema averages weights, but codes are settled with the last ones; leave it None for a tokenizer "
            "(RqVae.ema = @codebooks.Ema() averages codebooks)"
        )
    runtime.seed_everything()
    given = {
        "embed_dim": vae_embed_dim,
        "codebook_size": vae_codebook_size,
        "n_levels": vae_n_layers,
        "commitment_weight": commitment_weight,
    }
    model = make_tokenizer(tokenizer, described, behaviour, given)
    assignment.rule.check(model.sizes, len(data.items))
    settings = recipe.settings(iterations=iterations, learning_rate=learning_rate)
    learner = model if isinstance(model, RqVae) and assignment.earlier is None else None
    task = (
        start(learner, described, behaviour, runtime, batch_size, iterations) if learner is not None else None
    )
    read = described.digest + ("" if behaviour is None else behaviour.digest)
    identity = text_hash(config.config_hash(UNRELATED) + data.content_hash + read)
    job = Job(
        stage_folder(out, data.name, "tokenizer"),
        name=f"{data.name}-tokenizer",
        identity=identity if task else None,
        runtime=runtime,
        wandb=wandb_logging,
        configuration=config.full_text(),
        operative=config.operative_text,
    )
    if task is not None:
        job.train(task, recipe.optimizer(task.plain, learning_rate), settings)
        task.plain.cpu()
    runtime.close()
    if runtime.is_main:
        write(assignment, model, described, data, split, job)


def start(
    model: RqVae,
    features: ItemFeatures,
    behaviour: ItemFeatures | None,
    runtime: Runtime,
    batch_size: int,
    iterations: int,
) -> RqVaeTask:
    """The training of an RQ-VAE whose codebooks start from k-means++ on these features."""
    vectors = torch.from_numpy(features.vectors).to(runtime.device)
    task = RqVaeTask(
        model,
        vectors,
        batch_size=batch_size,
        iterations=iterations,
        seed=runtime.seed,
        collaborative=None if behaviour is None else torch.from_numpy(behaviour.vectors).to(runtime.device),
        rank=runtime.processes.rank,
        size=runtime.processes.size,
    )
    model.to(runtime.device).start(vectors, torch.Generator().manual_seed(runtime.seed))
    return task


def write(
    assignment: Assignment, model: Tokenizer, features: ItemFeatures, data: Dataset, split: Split, job: Job
) -> None:
    """Assign the ids, and write the artifact, its figures and its page."""
    ids, tokenized = assignment(model, features, data.items)
    save_ids(
        job.folder,
        ids,
        features,
        data.items,
        weights=model.weights(),
        config=config.operative_text(),
        config_hash=config.config_hash(UNRELATED),
        dataset=input_ref(data.name, data.content_hash),
        split=input_ref(split.protocol, split.hash),
        rerun=shlex.join(["python", *sys.argv]),
        extends=assignment.earlier,
    )
    figures = {f"tokenizer/{name}": value for name, value in ids.quality.items()}
    write_json(job.folder / "metrics.json", figures)
    page = write_page(
        job.folder / "quality.html",
        f"Semantic IDs of {data.name}: quality of the tokenizer",
        [quality_section(describe(ids, tokenized, features, data.items, job.folder))],
    )
    job.finish(figures, "semantic-ids", "semantic_ids")
    print(f"semantic ids of {len(ids)} items in {job.folder}; quality page: {page}")


def make_tokenizer(
    factory: Callable[..., Tokenizer],
    features: ItemFeatures,
    behaviour: ItemFeatures | None,
    given: Mapping[str, float | None],
) -> Tokenizer:
    """Call the factory with the `train.vae_*` bindings that were given; one it does not know is an error."""
    known = signature(factory.__init__ if isclass(factory) else factory).parameters
    chosen = {name: value for name, value in given.items() if value is not None}
    for name in chosen:
        if name not in known:
            raise ConfigError(
                f"train.vae_{name} or train.{name} is bound, but the tokenizer {factory.__name__} has no {name}; "
                "remove the binding or take @rqvae.RqVae"
            )
    widths: dict[str, object] = {"input_dim": features.width, "parts": features.parts}
    if behaviour is not None:
        widths["collaborative_dim"] = behaviour.width
        if "collaborative_dim" not in known:
            raise ConfigError(
                f"train.collaborative is bound, but the tokenizer {factory.__name__} has no loss to align with it; "
                "take @rqvae.RqVae, or join it to train.features with fusion.Concat"
            )
    return factory(**{name: width for name, width in widths.items() if name in known}, **chosen)


def describe(
    ids: SemanticIds, tokenized: Tokenized, features: ItemFeatures, items: ItemTable, folder: Path
) -> TokenizerQuality:
    """What the quality page shows."""
    genres = genre_matrix(items)
    shuffled = np.random.default_rng(0).permutation(ids.codes)
    learned = ids.codes if tokenized.raw is None else tokenized.raw
    some = np.random.default_rng(1).choice(len(ids), min(12, len(ids)), replace=False)
    titles = items.frame["title"].to_numpy()
    return TokenizerQuality(
        name=f"{ids.tokenizer}, codebooks {' x '.join(map(str, ids.sizes))}, features {features.encoder}",
        figures=readable_figures(ids.quality),
        usage=usage_counts(learned, ids.sizes[: learned.shape[1]]),
        reconstruction=tokenized.error_by_depth,
        purity={"genre similarity": purity_by_depth(ids.codes, ids.sizes, genres)[1:-1]},
        purity_by_chance={"genre similarity": purity_by_depth(shuffled, ids.sizes, genres)[1:-1]},
        losses=read_curves(folder / "metrics.jsonl", LOSSES),
        examples={str(titles[i]): show(ids.codes[i]) for i in some},
    )


if __name__ == "__main__":
    sys.exit(config.main(train, description=__doc__))
