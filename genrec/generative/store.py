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
from genrec.errors import ArtifactError, ConfigError
from genrec.generative.tiger import Tiger
from genrec.generative.timeline import Timeline
from genrec.generative.tree import CodeTree
from genrec.tokenizer.store import StoredIds

KIND = "generative_model"
Model = Timeline | Tiger
MODELS: Mapping[str, type[Model]] = {"Timeline": Timeline, "Tiger": Tiger}  # by name in the artifact


def model_name(model: object) -> str:
    """The name under which a model is stored.

    Raises:
        ConfigError: it could not be loaded again.
    """
    for name, known in MODELS.items():
        if isinstance(model, known):
            return name
    raise ConfigError(f"train.model is {type(model).__name__}; choose one of {', '.join(MODELS)}")


def save_model(
    folder: Path,
    model: Model,
    ids: StoredIds,
    *,
    config: str,
    config_hash: str,
    split: Mapping[str, str],
    metrics: Mapping[str, float],
    rerun: str,
    part: str = "valid",
) -> Manifest:
    """Write weights and settings; the codes and features they belong to stay in the tokenizer's artifact.

    Args:
        split: reference (`genrec.artifacts.input_ref`) of the split that the model learned from.
        part: the first part of it that the model has not seen, `valid` or `test`.
    """
    return save_artifact(
        folder,
        kind=KIND,
        payload={
            "model.safetensors": {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()},
            "features.safetensors": feature_scale(ids),
            "settings.json": json.dumps(model.settings, indent=2),
        },
        config=config,
        config_hash=config_hash,
        inputs={"semantic_ids": input_ref(ids.folder, ids.identity), "split": split},
        metrics=metrics,
        facts={"model": model_name(model), "part": part},
        rerun=rerun,
    )


def load_model(
    folder: Path,
    ids: StoredIds,
    split_hash: str | None = None,
    *,
    part: str = "valid",
    rerun: str = "python train_decoder.py CONFIG",
) -> Model:
    """Read a model, in eval mode.

    Args:
        ids: those that it was trained on, or ids with more items that extend them: a model without a parameter
            per item or node knows new items by codes and features.
        split_hash: the split that it will be judged with: a model that learned from another one may have seen
            the test events. None for use outside an experiment.
        part: the first part of that split that it will be judged with.

    Raises:
        ArtifactError: missing, damaged, or trained on other semantic ids than `ids` or another split.
    """
    manifest = read_manifest(folder, KIND, rerun=rerun)
    extended = manifest.inputs.get("semantic_ids", {}).get("hash") in ids.lineage
    if not extended:
        check_input(manifest, folder, "semantic_ids", ids.identity)
    if split_hash is not None:
        check_input(manifest, folder, "split", split_hash)
        if manifest.facts.get("part") != part:
            raise ArtifactError(
                f"the model in {folder} was trained with train.part = {manifest.facts.get('part')!r}, where one with "
                f"{part!r} is needed; pass the folder of such a model"
            )
    settings = load_json(folder, manifest, "settings.json")
    try:
        kind = MODELS[manifest.facts["model"]]
        features = model_features(ids, load_tensors(folder, manifest, "features.safetensors"))
        model = kind(CodeTree.of(ids.ids.codes, ids.ids.sizes), features, **settings)
        weights, needed = load_tensors(folder, manifest, "model.safetensors"), model.state_dict()
        grown = [name for name in weights if name in needed and weights[name].shape != needed[name].shape]
        if extended and grown:
            raise ArtifactError(
                f"the model in {folder} has a parameter per item or node ({', '.join(sorted(grown))}), and the ids in "
                f"{ids.folder} have new ones; run `{manifest.rerun}` on these ids, or train with Timeline.inputs = "
                f"('codes', 'features'), Timeline.node_keys = False and Timeline.dense_weight = 0"
            )
        model.load_state_dict(weights)
    except (KeyError, RuntimeError, TypeError) as error:
        raise ArtifactError(
            f"the model in {folder} does not fit this version of the code; run `{manifest.rerun}` again"
        ) from error
    return model.eval()


def feature_scale(ids: StoredIds) -> dict[str, Tensor]:
    """`mean` and `deviation` [F] of the features over present items."""
    present = torch.from_numpy(ids.features.present)
    vectors = torch.from_numpy(ids.features.vectors).float()[present]
    if not len(vectors):
        return {"mean": vectors.new_zeros(vectors.shape[1]), "deviation": vectors.new_ones(vectors.shape[1])}
    deviation = vectors.std(0, correction=0)
    return {"mean": vectors.mean(0), "deviation": torch.where(deviation > 1e-6, deviation, 1.0)}


def model_features(ids: StoredIds, scale: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Features [N, F] of each modality as the model reads them: standardised, absent rows zero.

    Args:
        scale: `feature_scale` of the items that the model was trained on; None is that of `ids`.
    """
    scale = feature_scale(ids) if scale is None else scale
    scaled = (torch.from_numpy(ids.features.vectors).float() - scale["mean"]) / scale["deviation"]
    vectors = torch.where(torch.from_numpy(ids.features.present)[:, None], scaled, 0.0)
    blocks: dict[str, list[Tensor]] = {}
    widths = [width for _, width in ids.features.parts]
    for (modality, _), block in zip(ids.features.parts, torch.split(vectors, widths, dim=1), strict=True):
        blocks.setdefault(modality, []).append(block)
    return {modality: torch.cat(parts, dim=1) for modality, parts in blocks.items()}
