"""The README's headline table: features, tokens, training and test over several seeds.

    python experiments/reproduce_beauty.py configs/reproduce_beauty.gin

Runs the same scripts as a user would, one child process per stage. What is finished is not repeated: a
stopped run goes on where it was when the same command is given again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gin

from genrec import config
from genrec.artifacts import write_json
from genrec.errors import ConfigError, GenrecError
from genrec.evaluation.seeds import over_seeds, seeds_table

ROOT = Path(__file__).resolve().parents[1]


@gin.configurable
def reproduce(
    *,
    tokenizer: str,
    decoder: str,
    recall: str,
    seeds: Sequence[int] = (0, 1, 2),
    jobs: int = 2,
    k: int = 10,
    out: str = "out/reproduce-beauty",
) -> None:
    """Train a model per seed on one set of semantic ids, and print the test figures.

    Args:
        tokenizer: configuration of train_rqvae.py.
        decoder: configuration of train_decoder.py.
        recall: configuration of experiments/evaluate_recall.py.
        seeds: of training, one run each.
        jobs: runs at the same time, with a thread each; as many as there are cores is fastest.
        k: cut-off of the printed table.
        out: output folder.
    """
    if not seeds or jobs < 1:
        raise ConfigError(f"reproduce.seeds and reproduce.jobs must not be empty, got {seeds!r} and {jobs}")
    home = Path(out)
    ids = home / "tokenizer"
    stage("train_rqvae.py", tokenizer, ids, [])

    def one(seed: int) -> dict[str, float]:
        given = [f"train.semantic_ids_path='{ids.as_posix()}'", f"runtime.Runtime.seed={seed}"]
        model, again = home / f"decoder-{seed}", home / f"decoder-refit-{seed}"
        judged = home / f"recall-{seed}"
        stage("train_decoder.py", decoder, model, given)
        stage("train_decoder.py", decoder, again, [*given, "train.part='test'"])
        given = [
            f"evaluate.semantic_ids_path='{ids.as_posix()}'",
            f"evaluate.decoder_path='{model.as_posix()}'",
            f"evaluate.refit_path='{again.as_posix()}'",
        ]
        stage("experiments/evaluate_recall.py", recall, judged, given)
        trained: dict[str, float] = json.loads((model / "metrics.json").read_text("utf-8"))
        found: dict[str, float] = json.loads((judged / "metrics.json").read_text("utf-8"))
        return found | {
            name: value for name, value in trained.items() if name.startswith(("time/", "train/"))
        }

    with ThreadPoolExecutor(jobs) as pool:
        runs = list(pool.map(one, seeds))
    figures = over_seeds(runs)
    write_json(home / "metrics.json", figures)
    table = seeds_table(figures, k)
    (home / "table.txt").write_text(table + "\n", "utf-8")
    print(table)
    print(
        f"{len(seeds)} seeds, {figures['time/train_seconds'] / 60:.1f} minutes of training each, on one thread"
    )


def stage(script: str, configuration: str, folder: Path, given: Sequence[str]) -> None:
    """Run a script as a child, its output into a log beside its folder, unless its artifact is there."""
    if (folder / "metrics.json").exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.with_suffix(".log")
    command = [sys.executable, str(ROOT / script), configuration, "--out", str(folder)]
    command += [part for binding in given for part in ("--gin", binding)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    print(f"{script} -> {folder} (log: {log})", file=sys.stderr)
    with log.open("w", encoding="utf-8") as output:
        code = subprocess.run(  # noqa: S603 - its own scripts
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False
        ).returncode
    if code:
        last = log.read_text("utf-8").strip().splitlines()[-1:] or ["no output"]
        raise GenrecError(
            f"{script} failed with code {code}: {last[0]}; see {log}, mend it and run the same command again"
        )


if __name__ == "__main__":
    sys.exit(config.main(reproduce, description=__doc__))
