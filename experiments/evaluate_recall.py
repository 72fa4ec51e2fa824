"""Compare recallers under one protocol: generative recall with embedding recall and the classics, or any others.

    python experiments/evaluate_recall.py configs/recall_ml100k.gin
    python experiments/evaluate_recall.py configs/compare_ml100k.gin    # what experiments/train_recall.py has stored

Writes `metrics.json`, `metrics.csv` and the self-contained `report.html` to `out/<dataset>/recall/`, or to `compare/`
where no decoder takes part. Settings are chosen on validation; the test part only judges.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import gin

import genrec
from genrec import config
from genrec.artifacts import MANIFEST, read_manifest, stage_folder, write_text
from genrec.bench import Bench, K, refitted
from genrec.data.load import load_dataset
from genrec.data.splits import LeaveOneOut, Part, Splitter
from genrec.data.tables import ItemTable
from genrec.entrant import Entrant
from genrec.errors import ConfigError
from genrec.evaluation.comparison import Comparison, text_table
from genrec.evaluation.report import ReportData, RunFacts, write_all
from genrec.features.base import ItemEncoder
from genrec.generative.store import Model, load_model
from genrec.recall.base import Recaller, ScoringRecaller
from genrec.recall.generative import GenerativeRecaller
from genrec.recall.store import KIND
from genrec.recall.stored import Stored
from genrec.recall.vector_index import VectorIndex
from genrec.tokenizer.store import load_ids
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
    stored: Sequence[str] = (),
    generative: bool = True,
    features: ItemEncoder | None = None,
    reference: str | None = None,
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
        stored: names of recallers that experiments/train_recall.py has stored in out/<dataset>/recall-NAME.
        generative: whether a decoder takes part; False compares `recallers` and `stored` alone.
        features: of items, for recallers that need them and for the diversity of lists; the tokenizer's if not given.
        reference: method that others are compared with; the generative one, or else the first, if not given.
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
        out: output folder; out/<dataset>/recall if not given, or compare where no decoder takes part.
    """
    check(
        ks,
        widths,
        [*recallers, *stored],
        generative,
        (semantic_ids_path, decoder_path, refit_path, control_path),
    )
    runtime = runtime or Runtime()
    runtime.seed_everything()
    data = load_dataset(dataset, dataset_folder, dataset_split)
    split = (splitter or LeaveOneOut())(data.interactions)
    home = Path("out") / data.name
    entrant = control = None
    if generative:
        ids = load_ids(Path(semantic_ids_path or home / "tokenizer"), data.items, split.hash)
        model = load_model(Path(decoder_path or home / "decoder"), ids, split.hash).to(runtime.device)
        entrant = Entrant(ids, model, width, memory)
        control = load_control(control_ids_path, control_path, home, data.items, split.hash)
    known = entrant.ids.features if entrant else None
    if features is not None:
        known = features.encode(data.items, split.train)
    bench = Bench(split, data.items, known, tuple(ks), max_users)
    others = dict(recallers) | load_stored(home, stored)
    methods = (entrant.methods(bench) if entrant else {}) | others
    if control is not None:
        methods["random-ids"] = GenerativeRecaller(control.to(runtime.device), width=width)
    if reference is not None and reference not in methods:
        raise ConfigError(f"evaluate.reference is {reference!r}; choose one of {', '.join(methods)}")
    valid = bench.run(methods, "valid", (True,), reference)
    if entrant and refit_path is not None:
        again = load_model(Path(refit_path), entrant.ids, split.hash, part="test").to(runtime.device)
        methods |= refitted(methods, again, width)
    test = bench.run(methods, "test", (True, False), reference)  # they stay fitted to what precedes the test
    folder = stage_folder(out, data.name, "recall" if generative else "compare")
    facts = entrant.facts(methods) if entrant else {"Item features": known.encoder if known else "none"}
    created = time.strftime("%Y-%m-%d %H:%M")
    run = RunFacts(data.name, str(split), genrec.__version__, created, facts)
    report = ReportData(run, bench.cases("test"), test, K)
    if entrant:
        report = entrant.probed(report, bench, widths, indices or {})
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    extra = entrant.figures() if entrant else {}
    extra["memory/peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    extra |= {f"time/fit/{name}": seconds for name, seconds in bench.fit_seconds.items()}
    page = write_all(folder, report, [valid], extra)
    write_text(folder / "config.gin", config.operative_text())
    track(folder, test, wandb_logging, data.name)
    print(f"{split}\n\n{text_table(test, K)}\n\nreport: {page}")


def check(
    ks: Sequence[int],
    widths: Sequence[int],
    names: Sequence[str],
    generative: bool,
    paths: Sequence[str | None],
) -> None:
    """Raise ConfigError for settings that contradict each other."""
    if K not in ks:
        raise ConfigError(f"evaluate.ks must hold {K}, the cut-off of the headline figures; got {list(ks)}")
    if min(widths, default=K) < K:
        raise ConfigError(
            f"evaluate.widths must be at least {K}, the length of the lists; got {list(widths)}"
        )
    if len(set(names)) < len(names):
        raise ConfigError(
            f"evaluate.recallers and evaluate.stored name a method twice: {', '.join(sorted(names))}"
        )
    if not generative and not names:
        raise ConfigError(
            "evaluate.generative is False, and evaluate.recallers and evaluate.stored are empty; say what to compare"
        )
    if not generative and any(paths):
        raise ConfigError(
            f"evaluate.generative is False, but {next(filter(None, paths))} is bound to take part; leave out either"
        )


def load_stored(home: Path, names: Sequence[str]) -> dict[str, Recaller]:
    """The stored recallers by name; ArtifactError where one is missing, before the others have been judged."""
    found: dict[str, Recaller] = {}
    for name in names:
        folder = home / f"recall-{name}"
        for part in get_args(Part):
            read_manifest(
                folder / part, KIND, rerun=f"python experiments/train_recall.py --model {name} CONFIG"
            )
        found[name] = Stored(folder.as_posix())
    return found


def load_control(
    ids_path: str | None, path: str | None, home: Path, items: ItemTable, split_hash: str
) -> Model | None:
    """The decoder on random ids, or None where neither is given and the conventional one does not exist."""
    ids_folder, folder = Path(ids_path or home / "tokenizer-random"), Path(path or home / "decoder-random")
    if path is None and not (folder / MANIFEST).exists():
        return None
    return load_model(folder, load_ids(ids_folder, items, split_hash), split_hash)


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
