"""Export a trained model as one folder that loads without the dataset, and push it to a hub if asked.

    python experiments/export_model.py --to exported/ml100k
    python experiments/export_model.py --to exported/ml1m --gin "export.dataset='ml1m'" --push user/name

`genrec.generative.export.load` reads the folder, or `user/name` from the hub. Pushing needs HF_TOKEN.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gin

from genrec import config
from genrec.artifacts import read_manifest
from genrec.data.load import load_dataset
from genrec.generative import hub
from genrec.generative.export import FILES
from genrec.generative.export import export as write
from genrec.generative.store import KIND, load_model
from genrec.tokenizer.store import load_ids


@gin.configurable
def export(
    *,
    to: str,
    push: str | None = None,
    dataset: str = "ml100k",
    dataset_folder: str | None = None,
    dataset_split: str | None = None,
    semantic_ids_path: str | None = None,
    decoder_path: str | None = None,
) -> None:
    """Write model, semantic ids, item ids, features and a card into one folder.

    Args:
        to: the folder.
        push: repository user/name to upload it to as well.
        dataset: name of the dataset.
        dataset_folder: where the dataset's files are.
        dataset_split: category of a dataset that has several.
        semantic_ids_path: the tokenizer's artifact; out/<dataset>/tokenizer if not given.
        decoder_path: the decoder's artifact; out/<dataset>/decoder if not given.
    """
    data = load_dataset(dataset, dataset_folder, dataset_split)
    home = Path("out") / data.name
    stored = load_ids(Path(semantic_ids_path or home / "tokenizer"), data.items)
    decoder = Path(decoder_path or home / "decoder")
    model = load_model(decoder, stored)
    metrics = {k: v for k, v in read_manifest(decoder, KIND).metrics.items() if k.startswith("valid/")}
    write(Path(to), model, stored, data.items.ids, dataset=data.name, metrics=metrics)
    print(f"exported to {to}; load it with genrec.generative.export.load({to!r})")
    if push is not None:
        print(f"pushed to {hub.push(Path(to), push, FILES)}")


if __name__ == "__main__":
    sys.exit(config.main(export, description=__doc__, options={"to": str, "push": str, "dataset": str}))
