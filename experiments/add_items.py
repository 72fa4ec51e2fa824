"""Give new items semantic IDs beside those of an existing tokenizer, without moving an old one.

    python experiments/add_items.py out/custom/tokenizer --dataset-folder my/larger/folder

The dataset, by default the one that the tokenizer was made of, holds old and new items now. Runs train_rqvae.py with
the tokenizer's own configuration: nothing is trained, new features go through the stored weights.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from genrec.artifacts import CONFIG

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Run the extension; returns its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tokenizer", type=Path, help="folder of the tokenizer's artifact")
    parser.add_argument("--dataset-folder", help="where the larger dataset is; where it was if not given")
    parser.add_argument(
        "--out", type=Path, help="folder of the new artifact; <tokenizer>-extended if not given"
    )
    parser.add_argument("--gin", action="append", default=[], metavar="BINDING", help="as in train_rqvae.py")
    given = parser.parse_args()
    out = given.out or given.tokenizer.with_name(f"{given.tokenizer.name}-extended")
    if not (given.tokenizer / CONFIG).exists():
        parser.error(f"there is no tokenizer in {given.tokenizer}; run train_rqvae.py first")
    if out.resolve() == given.tokenizer.resolve():
        parser.error("--out must be another folder than the tokenizer's, whose ids its decoder still needs")
    bindings = [
        "import genrec.tokenizer.extension as extension",
        "train.assignment = @extension.Extension()",
        f"extension.Extension.folder = {str(given.tokenizer)!r}",
    ]
    if given.dataset_folder:
        bindings.append(f"train.dataset_folder = {given.dataset_folder!r}")
    bindings += given.gin
    command = [os.path.relpath(ROOT / "train_rqvae.py"), str(given.tokenizer / CONFIG), "--out", str(out)]
    command += [part for binding in bindings for part in ("--gin", binding)]
    return subprocess.run([sys.executable, *command]).returncode  # noqa: S603 - our own script


if __name__ == "__main__":
    sys.exit(main())
