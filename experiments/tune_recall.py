"""Choose a recaller's settings on validation, every recaller with the same budget.

    python experiments/tune_recall.py --model ease configs/recall/ml100k/ease.gin --trials 30

`--model NAME` reads `configs/recall/spaces/NAME.gin`, which says what may be tried, before CONFIG. The first trial is
the settings as they are configured; the others are proposed by optuna from the NDCG@10 of those before, on validation
users, their history masked. The test part is not looked at. Writes `trials.csv`, `metrics.json` and `best.gin` to
`out/<dataset>/tune-NAME/`; to use what was found, give `best.gin` to experiments/train_recall.py after CONFIG. The same
command goes on where it was stopped, and with more `--trials` where it had ended.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import gin

from genrec import config
from genrec.artifacts import stage_folder, text_hash, write_json, write_text
from genrec.bench import Bench, K, ndcg
from genrec.config.options import Named
from genrec.config.overrides import overrides
from genrec.data.load import load_dataset
from genrec.data.splits import LeaveOneOut, Splitter
from genrec.errors import ArtifactError
from genrec.evaluation.comparison import write_metrics
from genrec.evaluation.protocol import check_lists
from genrec.features.base import ItemEncoder
from genrec.recall.base import Recaller
from genrec.recall.space import Space
from genrec.recall.tuning import Budget, best_of, search
from genrec.tokenizer.store import load_ids
from genrec.training.runtime import Runtime

NO_MATTER = ("out", "trials", "minutes")  # bindings with which a search may go on


@gin.configurable
def train(
    *,
    model: str,
    dataset: str,
    recaller: Recaller,
    space: Mapping[str, Space],
    dataset_folder: str | None = None,
    dataset_split: str | None = None,
    splitter: Splitter | None = None,
    features: ItemEncoder | None = None,
    semantic_ids_path: str | None = None,
    trials: int = 30,
    minutes: float | None = None,
    seed: int = 0,
    max_users: int | None = None,
    out: str | None = None,
) -> None:
    """Search the space of a recaller's settings.

    Args:
        model: name of the recaller in folders and figures; as a flag, of its file in configs/recall/spaces.
        dataset: name of the dataset.
        recaller: with the settings to begin with, for instance @ease.Ease().
        space: what each argument may be, {'l2': @l2/space.LogUniform()}; 'training.epochs' is that of `training`.
        dataset_folder: where the dataset's files are.
        dataset_split: category of a dataset that has several.
        splitter: leave-one-out if not given.
        features: encoder of the items, for recallers that use item features.
        semantic_ids_path: a tokenizer's artifact, whose features are taken where no encoder is given.
        trials: at most so many, those of earlier runs included.
        minutes: no further trial is begun after so many, those of earlier runs included; None sets no limit.
        seed: of the proposals.
        max_users: a random sample of validation users; all if not given.
        out: output folder; out/<dataset>/tune-<model> if not given.
    """
    budget = Budget(trials, minutes, seed)
    Runtime().seed_everything()
    data = load_dataset(dataset, dataset_folder, dataset_split)
    split = (splitter or LeaveOneOut())(data.interactions)
    known = None
    if features is not None:
        known = features.encode(data.items, split.train)
    elif semantic_ids_path is not None:
        known = load_ids(Path(semantic_ids_path), data.items, split.hash).features
    bench = Bench(split, data.items, known, (K,), max_users)
    cases = bench.cases("valid")

    def judge(one: Recaller) -> float:
        lists = bench.fit(one, "valid").recommend(cases.users, K)
        check_lists(lists, cases, K, masked=True, method=model)
        return ndcg(lists, cases)

    folder = stage_folder(out, data.name, f"tune-{model}")
    claim(folder, [config.config_hash(NO_MATTER), split.hash, known.digest if known else ""])
    found = search(recaller, space, judge, budget, folder / "trials.csv")
    best = best_of(found)
    scores = {model: best.objective, f"{model}-default": found[0].objective}
    figures = {f"valid/{name}/masked/ndcg@{K}": score for name, score in scores.items() if score is not None}
    figures |= {"tune/trials": len(found), "tune/failed": sum(one.objective is None for one in found)}
    figures["time/tune/seconds"] = sum(one.seconds for one in found)
    write_metrics(folder, figures)
    write_text(folder / "config.gin", config.operative_text())
    chosen = f"trial {found.index(best)} of {len(found)}, valid NDCG@{K} {best.objective:.4f}"
    lines = overrides(train, "recaller", recaller, best.values)
    text = f"# Chosen for {model} on {data.name}: {chosen}; as configured {found[0].objective:.4f}.\n{lines}"
    write_text(folder / "best.gin", text)
    print(f"{split}\n\n{text}\nchosen settings: {folder / 'best.gin'}")


def claim(folder: Path, made_from: list[str]) -> None:
    """Mark a folder as that of this search; ArtifactError where it is of another."""
    path, identity = folder / "study.json", text_hash("\n".join(made_from))
    if not path.exists():
        write_json(path, {"identity": identity})
    elif json.loads(path.read_text("utf-8")).get("identity") != identity:
        raise ArtifactError(
            f"{folder} holds trials of another configuration or other data; remove it or choose another --out"
        )


if __name__ == "__main__":
    options: dict[str, type | Named] = {
        "model": Named("configs/recall/spaces"),
        "trials": int,
        "minutes": float,
    }
    sys.exit(config.main(train, description=__doc__, options=options))
