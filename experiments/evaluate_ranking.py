"""Compare trained rankers on the same rows: AUC, AUC within users, log-loss, calibration, and lists of a user's rows.

    python experiments/evaluate_ranking.py configs/ranking_ml100k.gin
    python experiments/evaluate_ranking.py configs/ranking_ml100k.gin --gin "evaluate.rankers=('lr', 'deepfm')"

Writes `metrics.json` and the self-contained page `ranking.html` to `out/<dataset>/ranking/`. Rankers are chosen on
validation; the test part only judges.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import gin

import genrec
from genrec import config
from genrec.artifacts import MANIFEST, stage_folder, write_text
from genrec.data.load import load_dataset
from genrec.data.splits import GlobalTime, Part, Split, Splitter
from genrec.data.tables import Dataset
from genrec.errors import ConfigError
from genrec.evaluation.metrics import check_ks
from genrec.evaluation.ranking_comparison import Judged, RankingComparison, Scored, compare_rankers
from genrec.evaluation.ranking_report import ranking_text_table, write_ranking_report
from genrec.ranking.labels import LabelRule
from genrec.ranking.negatives import Negatives
from genrec.ranking.splits import LabelledPart, ranking_split, rated_in_time
from genrec.ranking.store import Ranker, load_ranker
from genrec.tokenizer.semantic_ids import catalogue_hash
from genrec.training.runtime import Runtime


@gin.configurable
def evaluate(
    *,
    dataset: str,
    rankers: Sequence[str] | None = None,
    folders: Mapping[str, str] | None = None,
    dataset_folder: str | None = None,
    dataset_split: str | None = None,
    rated_only: bool = False,
    splitter: Splitter | None = None,
    labels: LabelRule | None = None,
    negatives: Negatives | None = None,
    live: bool = False,
    parts: Sequence[str] = ("valid", "test"),
    reference: str | None = None,
    ks: Sequence[int] = (5, 10),
    bins: int = 15,
    resamples: int = 500,
    runtime: Runtime | None = None,
    out: str | None = None,
) -> None:
    """Judge every ranker by the labelled rows of a part, and write the report.

    Args:
        dataset: name of the dataset.
        rankers: names of rankers in out/<dataset>/rank-NAME; all that are there if not given.
        folders: further rankers by name, for instance {'deepfm-16': 'out/other'}.
        dataset_folder: where the dataset's files are.
        dataset_split: category of a dataset that has several.
        rated_only: leave out events that lack a rating or a time, as in training.
        splitter: the one that the rankers were trained with; by time over all users if not given.
        labels: which ratings are good; those of at least 4 if not given.
        negatives: items to add that the user did not choose, as in training; none if not given.
        live: whether rows see earlier events of their own part.
        parts: what to judge, `valid`, `test` or both.
        reference: ranker that others are compared with; the first if not given.
        ks: cut-offs of the lists.
        bins: of the calibration error.
        resamples: of users, for intervals.
        runtime: device, threads.
        out: output folder; out/<dataset>/ranking if not given.
    """
    if not parts or not set(parts) <= set(get_args(Part)):
        raise ConfigError(f"evaluate.parts must be 'valid', 'test' or both, got {list(parts)}")
    runtime = runtime or Runtime()
    runtime.seed_everything()
    data = load_dataset(dataset, dataset_folder, dataset_split)
    split = (splitter or GlobalTime())(rated_in_time(data.interactions) if rated_only else data.interactions)
    known = {
        name: loaded.to(runtime.device) for name, loaded in load(rankers, folders or {}, data, split).items()
    }
    rows = ranking_split(split, labels or LabelRule(), live=live)
    comparisons = []
    for part in (part for part in get_args(Part) if part in parts):
        one = rows.valid if part == "valid" else rows.test
        if negatives is not None:
            one = LabelledPart(negatives.knowing(data.items, None)(one.rows, one.log), one.log)
        judged, scored = judge(known, one, check_ks(ks), bins)
        comparisons.append(compare_rankers(judged, scored, part=part, reference=reference, n=resamples))
    folder = stage_folder(out, data.name, "ranking")
    page = write(folder, comparisons, data, split, known)
    for found in comparisons:
        print(f"\n{found.part}: {found.rows:,} rows of {found.users:,} users\n{ranking_text_table(found)}")
    print(f"\n{split}\nreport: {page}")


def load(
    names: Sequence[str] | None, folders: Mapping[str, str], data: Dataset, split: Split
) -> dict[str, Ranker]:
    """The rankers by name; each must have been trained on this split of this catalogue."""
    home = Path("out") / data.name
    if names is None:
        names = sorted(path.parent.name.removeprefix("rank-") for path in home.glob(f"rank-*/{MANIFEST}"))
    places = {name: home / f"rank-{name}" for name in names} | {k: Path(path) for k, path in folders.items()}
    if not places:
        raise ConfigError(
            f"there is no ranker in {home}; train one with experiments/train_ranker.py, or bind evaluate.folders"
        )
    catalogue = catalogue_hash(data.items)
    return {
        name: load_ranker(folder, catalogue=catalogue, split_hash=split.hash)
        for name, folder in places.items()
    }


def judge(
    rankers: Mapping[str, Ranker], part: LabelledPart, ks: tuple[int, ...], bins: int
) -> tuple[Judged, dict[str, Scored]]:
    """What every ranker says of the rows of a part."""
    assert part.rows.labels is not None
    scored = {}
    for name, ranker in rankers.items():
        knowing = ranker.with_log(part.log)
        begun = time.perf_counter()
        found = knowing(part.rows)
        scored[name] = Scored(found.logits, found.probabilities, time.perf_counter() - begun)
    return Judged(part.rows.users, part.rows.labels, ks, bins), scored


def write(
    folder: Path,
    comparisons: Sequence[RankingComparison],
    data: Dataset,
    split: Split,
    rankers: Mapping[str, Ranker],
) -> Path:
    """Write figures, page and configuration; the page's path."""
    facts = {
        "Dataset": data.name,
        "Split": str(split),
        "Code version": genrec.__version__,
        "Created": time.strftime("%Y-%m-%d %H:%M"),
        **{
            name: f"{type(one.model).__name__}, {sum(p.numel() for p in one.model.parameters()):,} parameters, "
            f"{type(one.calibration).__name__}; reads {', '.join(one.model.inputs.names)}"
            for name, one in rankers.items()
        },
    }
    write_text(folder / "config.gin", config.operative_text())
    return write_ranking_report(folder, comparisons, f"Ranking on {data.name}", facts)


if __name__ == "__main__":
    sys.exit(config.main(evaluate, description=__doc__))
