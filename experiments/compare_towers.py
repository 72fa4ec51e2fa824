"""Does side information help where ids know little? Recallers trained on one split, judged by how rare targets are.

    python experiments/compare_towers.py configs/compare_towers_ml1m.gin

Writes `metrics.json` to `out/<dataset>/towers/`: figures on all targets, on those whose item has no training event,
1 to 9, and more, and the difference of each recaller to the first, with its paired interval over users.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import gin

from genrec import config
from genrec.artifacts import stage_folder, write_text
from genrec.bench import Bench
from genrec.data.load import load_dataset
from genrec.data.splits import LeaveOneOut, Part, Splitter
from genrec.errors import ConfigError
from genrec.evaluation.comparison import flat_metrics, write_metrics
from genrec.evaluation.sliced import flat_slices, slice_figures, slice_table
from genrec.features.base import ItemEncoder
from genrec.recall.base import Recaller


@gin.configurable
def compare_towers(
    *,
    dataset: str,
    recallers: Mapping[str, Recaller],
    dataset_folder: str | None = None,
    dataset_split: str | None = None,
    splitter: Splitter | None = None,
    features: ItemEncoder | None = None,
    part: Part = "test",
    ks: Sequence[int] = (10, 50, 100),
    out: str | None = None,
) -> None:
    """Train, judge and compare.

    Args:
        dataset: name of the dataset.
        recallers: two or more by name; the first is what the others are compared with.
        dataset_folder: where the dataset's files are.
        dataset_split: category of a dataset that has several.
        splitter: leave-one-out if not given.
        features: encoder of the items, for recallers that use item features.
        part: who judges, `valid` or `test`.
        ks: cut-offs; the largest is the length of the lists.
        out: output folder; out/<dataset>/towers if not given.
    """
    if len(recallers) < 2 or not ks:
        raise ConfigError(
            "compare_towers.recallers must be at least two and compare_towers.ks not empty; got "
            f"{', '.join(recallers)} and {list(ks)}"
        )
    data = load_dataset(dataset, dataset_folder, dataset_split)
    split = (splitter or LeaveOneOut())(data.interactions)
    known = None if features is None else features.encode(data.items, split.before(part))
    bench = Bench(split, data.items, known, tuple(ks), None)
    comparison = bench.run(recallers, part, maskings=(True,), reference=next(iter(recallers)))
    figures = slice_figures(comparison.evaluations, bench.cases(part), ks)
    folder = stage_folder(out, data.name, "towers")
    path = write_metrics(folder, flat_metrics(comparison) | flat_slices(figures))
    write_text(folder / "config.gin", config.operative_text())
    print(
        f"{split}\n\n{part}, history masked, compared with {figures[0].reference}\n{slice_table(figures)}\n\n{path}"
    )


if __name__ == "__main__":
    sys.exit(config.main(compare_towers, description=__doc__))
