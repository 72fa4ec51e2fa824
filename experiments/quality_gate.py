"""Is a method good enough? The last step of a training pipeline: exit code 1 stops what comes after it.

    python experiments/quality_gate.py --dataset ml100k --method hybrid
    python experiments/quality_gate.py --metrics-path out/ml100k/pipeline/metrics.json --method pipeline

Reads the figures that experiments/evaluate_recall.py, or another measuring script, has written. Exit code 0: every
figure reaches its threshold; 1: one does not, is missing or is not a number; 2: there is nothing to judge.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import gin

from genrec import config
from genrec.artifacts import stage_folder
from genrec.evaluation.gate import THRESHOLDS, check_figures, read_figures, text_table


@gin.configurable
def quality_gate(
    *,
    dataset: str,
    method: str = "generative",
    part: str = "test",
    masking: str = "masked",
    metrics_path: str | None = None,
    thresholds: Mapping[str, float] = THRESHOLDS,
) -> int:
    """Print a table of the figures that count and what came of them.

    Args:
        dataset: name of the dataset.
        method: the method that is judged, as in the keys of metrics.json.
        part: valid or test.
        masking: masked or unmasked.
        metrics_path: the file of figures; out/<dataset>/recall/metrics.json if not given.
        thresholds: the least value by metric, with its cut-off, such as {'ndcg@10': 0.05}.
    """
    path = Path(metrics_path) if metrics_path else stage_folder(None, dataset, "recall") / "metrics.json"
    checks = check_figures(read_figures(path), part, method, masking, thresholds)
    failed = sum(not one.passed for one in checks)
    print(f"{path}\n\n{text_table(checks)}\n")
    print(f"the gate is closed: {failed} of {len(checks)} failed" if failed else "the gate is open")
    return 1 if failed else 0


if __name__ == "__main__":
    names = ("dataset", "method", "part", "masking", "metrics_path")
    sys.exit(
        config.main(
            quality_gate,
            description=__doc__,
            options=dict.fromkeys(names, str),
            default_config="configs/quality_gate.gin",
        )
    )
