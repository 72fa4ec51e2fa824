"""Train one recaller, judge it on validation and on test, and store it.

    python experiments/train_recall.py --model ease configs/recall/ml100k/ease.gin
    python experiments/train_recall.py --model ease configs/data/ml1m.gin

`--model NAME` reads `configs/recall/NAME.gin` before CONFIG. The recaller learns from the training events and is judged
on validation, then from training and validation events and is judged on test. Both are stored, in `valid/` and `test/`
of `out/<dataset>/recall-NAME/`, beside `metrics.json`; `genrec.recall.stored.Stored` recommends with them. What is
finished is not trained again, and a killed training goes on, when the same command is given again.
"""

from __future__ import annotations

import math
import resource
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import gin

from genrec import config
from genrec.artifacts import input_ref, stage_folder, text_hash, write_text
from genrec.bench import Bench, K, own_index_loss
from genrec.config.options import Named
from genrec.data.load import load_dataset
from genrec.data.splits import LeaveOneOut, Part, Splitter
from genrec.data.tables import Dataset
from genrec.errors import ConfigError
from genrec.evaluation.comparison import flat_metrics, write_metrics
from genrec.evaluation.diagnostics import IndexLoss
from genrec.features.base import ItemEncoder
from genrec.recall.base import Recaller
from genrec.recall.neural import NeuralRecaller, Record
from genrec.recall.storable import Storable, walk
from genrec.recall.store import KIND, Origin, check_storable, finished, save_recaller
from genrec.tokenizer.store import StoredIds, load_ids
from genrec.training.checkpoint import Checkpoints
from genrec.training.job import Job
from genrec.training.loop import resume_step
from genrec.training.runtime import Runtime

UNRELATED = ("out", "wandb_*", "parts")  # bindings that change where results go, not what they are
JUDGING = ("ks", "max_users")  # bindings that change figures, not what is learned


@gin.configurable
def train(
    *,
    model: str,
    dataset: str,
    recaller: Recaller,
    dataset_folder: str | None = None,
    dataset_split: str | None = None,
    splitter: Splitter | None = None,
    features: ItemEncoder | None = None,
    semantic_ids_path: str | None = None,
    ks: Sequence[int] = (5, 10, 20, 50),
    max_users: int | None = None,
    parts: Sequence[str] = ("valid", "test"),
    wandb_logging: bool = False,
    out: str | None = None,
) -> None:
    """Train a recaller and judge it.

    Args:
        model: name of the recaller in folders and figures; as a flag, of its file in configs/recall.
        dataset: name of the dataset.
        recaller: what is trained, for instance @ease.Ease().
        dataset_folder: where the dataset's files are.
        dataset_split: category of a dataset that has several.
        splitter: leave-one-out if not given.
        features: encoder of the items, for recallers that use item features.
        semantic_ids_path: a tokenizer's artifact, whose features are taken where no encoder is given.
        ks: cut-offs; must hold 10.
        max_users: a random sample of users; all if not given.
        parts: what to judge, `valid`, `test` or both; the recaller learns from what precedes it.
        wandb_logging: log to Weights & Biases too; offline without a key.
        out: output folder; out/<dataset>/recall-<model> if not given.
    """
    check(model, ks, parts)
    data = load_dataset(dataset, dataset_folder, dataset_split)
    split = (splitter or LeaveOneOut())(data.interactions)
    ids = None if semantic_ids_path is None else load_ids(Path(semantic_ids_path), data.items, split.hash)
    folder = stage_folder(out, data.name, f"recall-{model}")
    if isinstance(recaller, Storable):
        check_storable(recaller)
    figures: dict[str, float] = {}
    for part in (part for part in get_args(Part) if part in parts):
        known = ids.features if ids is not None else None
        if features is not None:
            known = features.encode(data.items, split.before(part))
        bench = Bench(split, data.items, known, tuple(ks), max_users)
        figures |= one_part(recaller, model, bench, data, ids, part, folder / part, wandb_logging)
    write_metrics(folder, figures)
    write_text(folder / "config.gin", config.operative_text())
    print(f"{split}\n\n{table(figures, model)}\n\n{type(recaller).__name__} in {folder}")


def one_part(
    recaller: Recaller,
    model: str,
    bench: Bench,
    data: Dataset,
    ids: StoredIds | None,
    part: Part,
    folder: Path,
    wandb_logging: bool,
) -> dict[str, float]:
    """Figures of a part, for which the recaller is trained and stored unless it was before."""
    origin = origin_of(recaller, bench, data, ids, part)
    done = finished(folder, origin, config.config_hash(UNRELATED))
    if done is not None:
        print(f"{part}: {model} is there already, in {folder}", file=sys.stderr)
        return done.metrics
    job = open_job(recaller, f"{data.name}-recall-{model}-{part}", origin, folder, wandb_logging)
    job.runtime.seed_everything()
    comparison = bench.run({model: recaller}, part, maskings=(True, False), reference=model)
    figures = flat_metrics(comparison)
    figures[f"time/fit/{part}/{model}/seconds"] = bench.fit_seconds[model]
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    figures[f"memory/{part}/peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    figures |= index_figures(own_index_loss(recaller, bench, part), f"{part}/{model}/index")
    figures = {name: value for name, value in figures.items() if math.isfinite(value)}
    step = resume_step(job.checkpoints, job.identity) if job.identity is not None else None
    job.trackers.log({name: value for name, value in figures.items() if name.endswith(f"@{K}")}, step or 0)
    if not isinstance(recaller, Storable):
        job.trackers.close()  # there is no artifact to hand over
        return figures
    save_recaller(
        folder,
        recaller,
        origin,
        config=config.operative_text(),
        config_hash=config.config_hash(UNRELATED),
        metrics=figures,
        rerun=shlex.join(["python", *sys.argv]),
    )
    job.finish(figures, f"recall-{model}-{part}", KIND)
    return figures


def index_figures(loss: IndexLoss | None, where: str) -> dict[str, float]:
    """What an approximate index misses, and what it saves; nothing where there is no index."""
    if loss is None:
        return {}
    return {
        f"{where}/found@{K}": loss.found,
        f"{where}/ndcg@{K}": loss.ndcg,
        f"{where}/exact_ndcg@{K}": loss.exact_ndcg,
        f"time/{where}/seconds_per_1000_users": loss.seconds,
        f"time/{where}/exact_seconds_per_1000_users": loss.exact_seconds,
    }


def origin_of(recaller: Recaller, bench: Bench, data: Dataset, ids: StoredIds | None, part: Part) -> Origin:
    """What the recaller of a part is made from."""
    origin = Origin.of(data, bench.split, part, bench.features).reading(recaller)
    if ids is None:
        return origin
    return Origin(part, {**origin.inputs, "features_of": input_ref(ids.folder, ids.identity)})


def open_job(recaller: Recaller, name: str, origin: Origin, folder: Path, wandb_logging: bool) -> Job:
    """The run on disk; recallers that are trained step by step keep their checkpoints and losses there."""
    inside = list(walk(recaller)) if isinstance(recaller, Storable) else []
    neural = [(place, one) for place, one in inside if isinstance(one, NeuralRecaller)]
    runtime = neural[0][1].training.runtime if neural else Runtime()
    if runtime.processes.size > 1:
        raise ConfigError("train_recall.py works in one process; start it without torchrun")
    hashes = sorted(f"{name} {one['hash']}" for name, one in origin.inputs.items())
    identity = text_hash("\n".join([config.config_hash((*UNRELATED, *JUDGING)), origin.part, *hashes]))
    job = Job(
        folder,
        name=name,
        identity=identity if neural else None,
        runtime=runtime,
        wandb=wandb_logging,
        configuration=config.full_text(),
        operative=config.operative_text,
    )
    for place, one in neural:
        one.record = Record(Checkpoints(job.checkpoints.folder / place), identity, job.trackers)
    return job


def check(model: str, ks: Sequence[int], parts: Sequence[str]) -> None:
    """Raise ConfigError unless the arguments make sense."""
    if not model or not set(model) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
    ):
        raise ConfigError(f"train.model must be letters, digits and _-. for it names a folder; got {model!r}")
    if K not in ks:
        raise ConfigError(f"train.ks must hold {K}, the cut-off of the headline figures; got {list(ks)}")
    if not parts or not set(parts) <= set(get_args(Part)):
        raise ConfigError(f"train.parts must be 'valid', 'test' or both, got {list(parts)}")


def table(figures: Mapping[str, float], model: str) -> str:
    """The headline figures of what was judged."""
    lines = [f"{model:<24} {f'recall@{K}':>10} {f'ndcg@{K}':>9} {'interval':>15}"]
    for where in [
        f"{part}/{model}/{masking}" for part in get_args(Part) for masking in ("masked", "unmasked")
    ]:
        if f"{where}/ndcg@{K}" in figures:
            recall, ndcg, low, high = (
                figures[f"{where}/{name}"]
                for name in (f"recall@{K}", f"ndcg@{K}", f"ndcg@{K}/low", f"ndcg@{K}/high")
            )
            part, _, masking = where.split("/")
            lines.append(f"  {part + ', ' + masking:<22} {recall:>10.4f} {ndcg:>9.4f} {low:>7.4f}-{high:.4f}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(
        config.main(train, description=__doc__, options={"model": Named("configs/recall", others=("base",))})
    )
