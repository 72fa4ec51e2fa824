"""Compare generative recall with embedding recall and the classics, under one protocol.

    python experiments/evaluate_recall.py configs/recall_ml100k.gin

Writes `metrics.json`, `metrics.csv` and the self-contained `report.html` to `out/<dataset>/recall/`. Settings
are chosen on validation; the test part only judges.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import gin

import genrec
from genrec import config
from genrec.artifacts import MANIFEST, stage_folder, write_text
from genrec.bench import (
    Bench,
    K,
    index_losses,
    level_accuracy,
    model_methods,
    refitted,
    search_widths,
    tokenizer_quality,
)
from genrec.data.load import load_dataset
from genrec.data.splits import LeaveOneOut, Splitter
from genrec.data.tables import ItemTable
from genrec.errors import ConfigError
from genrec.evaluation.comparison import Comparison, text_table
from genrec.evaluation.report import ReportData, RunFacts, write_all
from genrec.generative.store import Model, load_model
from genrec.recall.base import Recaller, ScoringRecaller
from genrec.recall.generative import GenerativeRecaller
from genrec.recall.hybrid import HybridRecaller
from genrec.recall.vector_index import VectorIndex
from genrec.tokenizer.store import StoredIds, load_ids
from genrec.training.runtime import Runtime
from genrec.training.trackers import open_trackers


@gin.configurable
def evaluate(
    *,
    dataset: str,
    recallers: Mapping[str, Recaller],
    dataset_folder: str | None = None,
    dataset_split: str | None = None,
    splitter: Splitter | None = None,
    semantic_ids_path: str | None = None,
    decoder_path: str | None = None,
    refit_path: str | None = None,
    control_ids_path: str | None = None,
    control_path: str | None = None,
    memory: ScoringRecaller | None = None,
    indices: Mapping[str, VectorIndex] | None = None,
    ks: Sequence[int] = (5, 10, 20, 50),
    width: int = 50,
    widths: Sequence[int] = (10, 20, 50, 100),
    max_users: int | None = None,
    runtime: Runtime | None = None,
    wandb_logging: bool = False,
    out: str | None = None,
) -> None:
    """Evaluate every method on validation and test, and write the report.

    Args:
        dataset: name of the dataset.
        recallers: classic methods by name, for instance {'ease': @ease.Ease()}.
        dataset_folder: where the dataset's files are.
        dataset_split: category of a dataset that has several.
        splitter: leave-one-out if not given; the one the decoder was trained with.
        semantic_ids_path: the tokenizer's artifact; out/<dataset>/tokenizer if not given.
        decoder_path: the decoder's artifact; out/<dataset>/decoder if not given.
        refit_path: a decoder trained with train.part = 'test', on validation events too, as classic methods are when
            test is judged; its methods are called `generative-refit` and so on, and keep the weights of hybrids.
        control_ids_path: random ids, out/<dataset>/tokenizer-random by convention; left out if there are none.
        control_path: a decoder trained on them, out/<dataset>/decoder-random by convention.
        memory: classic recaller that the hybrid consults beside the model, for instance @ease.Ease().
        indices: approximate indices by name, whose loss against exact search is shown.
        ks: cut-offs; must hold 10.
        width: beam width of the generative and hybrid methods.
        widths: beam widths compared with exact search.
        max_users: a random sample of users; all if not given.
        runtime: device, seed, threads.
        wandb_logging: log figures and the report to Weights & Biases.
        out: output folder; out/<dataset>/recall if not given.
    """
    if K not in ks:
        raise ConfigError(f"evaluate.ks must hold {K}, the cut-off of the headline figures; got {list(ks)}")
    if min(widths, default=K) < K:
        raise ConfigError(
            f"evaluate.widths must be at least {K}, the length of the lists; got {list(widths)}"
        )
    runtime = runtime or Runtime()
    runtime.seed_everything()
    data = load_dataset(dataset, dataset_folder, dataset_split)
    split = (splitter or LeaveOneOut())(data.interactions)
    home = Path("out") / data.name
    stored = load_ids(Path(semantic_ids_path or home / "tokenizer"), data.items, split.hash)
    model = load_model(Path(decoder_path or home / "decoder"), stored, split.hash).to(runtime.device)
    bench = Bench(split, data.items, stored.features, tuple(ks), max_users)
    methods = model_methods(model, bench, width, memory)
    methods |= recallers
    control = load_control(control_ids_path, control_path, home, data.items, split.hash)
    if control is not None:
        methods["random-ids"] = GenerativeRecaller(control.to(runtime.device), width=width)
    valid = bench.run(methods, "valid", maskings=(True,))
    if refit_path is not None:
        again = load_model(Path(refit_path), stored, split.hash, part="test").to(runtime.device)
        methods |= refitted(methods, again, width)
    test = bench.run(methods, "test", maskings=(True, False))  # methods stay fitted to what precedes the test
    folder = stage_folder(out, data.name, "recall")
    cases = bench.cases("test")
    report = ReportData(
        facts=RunFacts(
            data.name,
            str(split),
            genrec.__version__,
            time.strftime("%Y-%m-%d %H:%M"),
            settings(methods, stored, model),
        ),
        cases=cases,
        comparison=test,
        k=K,
        search=search_widths(model, bench, widths),
        levels=level_accuracy(model, bench),
        index=index_losses(model, bench, indices or {}),
        tokenizer=tokenizer_quality(stored, data.items),
    )
    extra = {f"tokenizer/{name}": value for name, value in stored.ids.quality.items()}
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    extra["memory/peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    extra |= {f"time/fit/{name}": seconds for name, seconds in bench.fit_seconds.items()}
    page = write_all(folder, report, [valid], extra)
    write_text(folder / "config.gin", config.operative_text())
    track(folder, test, wandb_logging, data.name)
    print(f"{split}\n\n{text_table(test, K)}\n\nreport: {page}")


def load_control(
    ids_path: str | None, path: str | None, home: Path, items: ItemTable, split_hash: str
) -> Model | None:
    """The decoder on random ids, or None where neither is given and the conventional one does not exist."""
    ids_folder, folder = Path(ids_path or home / "tokenizer-random"), Path(path or home / "decoder-random")
    if path is None and not (folder / MANIFEST).exists():
        return None
    return load_model(folder, load_ids(ids_folder, items, split_hash), split_hash)


def settings(methods: Mapping[str, Recaller], stored: StoredIds, model: Model) -> dict[str, str]:
    """Facts for the report's last section."""
    facts = {
        "Semantic ids": f"{stored.folder}, identity {stored.identity[:12]}",
        "Model": ", ".join(f"{name}={value}" for name, value in model.settings.items()),
        "Parameters": f"{sum(p.numel() for p in model.parameters()):,}",
    }
    hybrid = methods.get("hybrid")
    if isinstance(hybrid, HybridRecaller):
        chosen = ", ".join(f"{name} {weight:g}" for name, weight in hybrid.weights._asdict().items())
        facts["Hybrid"] = f"weights chosen on validation: {chosen}"
        if hybrid.memory is not None:
            facts["Memory of the hybrid"] = type(hybrid.memory).__name__
    return facts


def track(folder: Path, test: Comparison, wandb_logging: bool, name: str) -> None:
    """Hand the figures, the table and the files to the trackers."""
    trackers = open_trackers(folder, wandb=wandb_logging, name=f"{name}-recall")
    trackers.log({f"{e.method}/{e.masking}/ndcg@{K}": e.summary[f"ndcg@{K}"] for e in test.evaluations}, 0)
    columns = ["method", "masking", *test.evaluations[0].summary]
    rows = [[e.method, e.masking, *e.summary.values()] for e in test.evaluations]
    trackers.table("recall/test", columns, rows)
    trackers.artifact(folder, "recall-report", "report", ["report.html", "metrics.json", "metrics.csv"])
    trackers.close()


if __name__ == "__main__":
    sys.exit(config.main(evaluate, description=__doc__))
