"""The generative model as an artifact: weights, settings, and the semantic ids it speaks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from genrec.artifacts import (
    Manifest,
    check_input,
    input_ref,
    load_json,
    load_tensors,
    read_manifest,
    save_artifact,
)
from genrec.errors import ArtifactError
from genrec.generative.timeline import Timeline
from genrec.generative.tree import CodeTree
from genrec.tokenizer.store import StoredIds

KIND = "generative_model"


def save_model(
    folder: Path,
    model: Timeline,
    ids: StoredIds,
    *,
    config: str,
    config_hash: str,
    split: Mapping[str, str],
    metrics: Mapping[str, float],
    rerun: str,
) -> Manifest:
    """Write weights and settings; the codes and features they belong to stay in the tokenizer's artifact.

    Args:
        split: reference (`genrec.artifacts.input_ref`) of the split whose training part the model learned.
    """
    return save_artifact(
        folder,
        kind=KIND,
        payload={
            "model.safetensors": {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()},
            "settings.json": json.dumps(model.settings, indent=2),
        },
        config=config,
        config_hash=config_hash,
        inputs={"semantic_ids": input_ref(ids.folder, ids.identity), "split": split},
        metrics=metrics,
        rerun=rerun,
    )


def load_model(
    folder: Path,
    ids: StoredIds,
    split_hash: str | None = None,
    *,
    rerun: str = "python train_decoder.py CONFIG",
) -> Timeline:
    """Read a model, in eval mode.

    Args:
        split_hash: the split that it will be judged with: a model that learned from another one may have seen
            the test events. None for use outside an experiment.

    Raises:
        ArtifactError: missing, damaged, or trained on other semantic ids than `ids` or another split.
    """
    manifest = read_manifest(folder, KIND, rerun=rerun)
    check_input(manifest, folder, "semantic_ids", ids.identity)
    if split_hash is not None:
        check_input(manifest, folder, "split", split_hash)
    settings = load_json(folder, manifest, "settings.json")
    try:
        model = Timeline(CodeTree.of(ids.ids.codes, ids.ids.sizes), model_features(ids), **settings)
        model.load_state_dict(load_tensors(folder, manifest, "model.safetensors"))
    except (RuntimeError, TypeError) as error:
        raise ArtifactError(
            f"the model in {folder} does not fit this version of the code; run `{manifest.rerun}` again"
        ) from error
    return model.eval()


def model_features(ids: StoredIds) -> Tensor:
    """Features [N, F] as the model reads them: standardised over present items, absent rows zero."""
    vectors = torch.from_numpy(ids.features.vectors).float()
    present = torch.from_numpy(ids.features.present)
    if not present.any():
        return vectors
    mean, deviation = vectors[present].mean(0), vectors[present].std(0, correction=0)
    scaled = (vectors - mean) / torch.where(deviation > 1e-6, deviation, 1.0)
    return torch.where(present[:, None], scaled, 0.0)
