"""The tokenizer's artifact: semantic ids, the tokenizer's weights, and the features it read."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch

from genrec.artifacts import (
    Manifest,
    check_input,
    input_ref,
    load_array,
    load_tensors,
    payload_path,
    read_manifest,
    save_artifact,
)
from genrec.data.tables import ItemTable
from genrec.errors import ArtifactError
from genrec.features.base import ItemFeatures
from genrec.features.store import KIND as FEATURES_KIND
from genrec.features.store import load_features, save_features
from genrec.tokenizer.semantic_ids import SemanticIds, catalogue_hash

KIND = "semantic_ids"


@dataclass(frozen=True)
class StoredIds:
    """What the stages after the tokenizer start from.

    Attributes:
        folder: where it was read from.
        identity: hash of the artifact's content, which a decoder remembers.
        lineage: identities of the artifacts that this one extends, oldest first: it holds all their items, with
            the same ids and features and codebooks of the same sizes.
    """

    ids: SemanticIds
    features: ItemFeatures
    folder: Path
    identity: str
    lineage: tuple[str, ...] = ()


@dataclass(frozen=True)
class EarlierIds(StoredIds):
    """Ids that new items are added to, whatever the catalogue is now.

    Attributes:
        item_ids: raw ids as text, in the order of the codes.
        weights: of the tokenizer.
    """

    item_ids: tuple[str, ...] = ()
    weights: Mapping[str, torch.Tensor] = field(default_factory=dict)


def save_ids(
    folder: Path,
    ids: SemanticIds,
    features: ItemFeatures,
    items: ItemTable,
    *,
    weights: Mapping[str, torch.Tensor],
    config: str,
    config_hash: str,
    dataset: Mapping[str, str],
    split: Mapping[str, str],
    rerun: str,
    extends: StoredIds | None = None,
) -> Manifest:
    """Write `codes.npy`, the weights, the ids as readable CSV, and the features into a folder below.

    The features' folder is named by their content: new ones do not touch those of the ids that are being
    replaced, which stay loadable until the new manifest is there.

    Args:
        dataset: reference of the dataset (`genrec.artifacts.input_ref`).
        split: reference of the split whose training part the encoders could learn from.
        extends: the ids that these are an extension of.
    """
    below = folder / f"features-{features.digest[:8]}"
    stored = save_features(features, below, config=config, inputs={"dataset": dataset}, rerun=rerun)
    inputs = {"dataset": dataset, "split": split, "item_features": input_ref(below, stored.identity)}
    facts = {"sizes": list(ids.sizes), "tokenizer": ids.tokenizer, "catalogue": ids.catalogue}
    if extends is not None:
        inputs["extends"] = input_ref(extends.folder, extends.identity)
        facts["lineage"] = [*extends.lineage, extends.identity]
    manifest = save_artifact(
        folder,
        kind=KIND,
        payload={
            "codes.npy": ids.codes,
            "tokenizer.safetensors": weights,
            "semantic_ids.csv": _readable(ids, items),
        },
        config=config,
        config_hash=config_hash,
        inputs=inputs,
        metrics=ids.quality,
        facts=facts,
        rerun=rerun,
    )
    for replaced in folder.glob("features-????????"):
        if replaced != below:
            shutil.rmtree(replaced, ignore_errors=True)
    return manifest


def load_ids(
    folder: Path,
    items: ItemTable,
    split_hash: str | None = None,
    *,
    rerun: str = "python train_rqvae.py CONFIG",
) -> StoredIds:
    """Read and verify what `save_ids` wrote.

    Args:
        split_hash: the split that they will be judged with; ids made from the training part of another one may
            have seen its test events. None for use outside an experiment.

    Raises:
        ArtifactError: missing, damaged, stale, or made for another catalogue or split.
    """
    manifest = read_manifest(folder, KIND, rerun=rerun)
    if manifest.facts.get("catalogue") != catalogue_hash(items):
        raise ArtifactError(
            f"the semantic ids in {folder} were made for another catalogue than this one of {len(items)} items; "
            f"run `{manifest.rerun}` again, or experiments/add_items.py where items were added"
        )
    if split_hash is not None:
        check_input(manifest, folder, "split", split_hash)
    return StoredIds(
        _ids(folder, manifest), _features(folder, manifest), folder, manifest.identity, _lineage(manifest)
    )


def load_earlier(folder: Path, *, rerun: str = "python train_rqvae.py CONFIG") -> EarlierIds:
    """Read and verify what `save_ids` wrote, to add items that it does not have.

    Raises:
        ArtifactError: missing, damaged or stale.
    """
    manifest = read_manifest(folder, KIND, rerun=rerun)
    table = pd.read_csv(
        payload_path(folder, manifest, "semantic_ids.csv"),
        usecols=["item_id"],
        dtype=str,
        keep_default_na=False,
    )
    return EarlierIds(
        _ids(folder, manifest),
        _features(folder, manifest),
        folder,
        manifest.identity,
        _lineage(manifest),
        tuple(table["item_id"]),
        load_tensors(folder, manifest, "tokenizer.safetensors"),
    )


def _ids(folder: Path, manifest: Manifest) -> SemanticIds:
    facts = manifest.facts
    return SemanticIds(
        codes=load_array(folder, manifest, "codes.npy"),
        sizes=tuple(facts["sizes"]),
        tokenizer=facts["tokenizer"],
        catalogue=facts["catalogue"],
        quality=manifest.metrics,
    )


def _features(folder: Path, manifest: Manifest) -> ItemFeatures:
    """The features in the folder below, if they are those that the ids were made from."""
    below = folder / Path(manifest.inputs.get("item_features", {}).get("path", "features")).name
    stored = read_manifest(below, FEATURES_KIND, rerun=manifest.rerun)
    check_input(manifest, folder, "item_features", stored.identity)
    return load_features(below, rerun=manifest.rerun)


def _lineage(manifest: Manifest) -> tuple[str, ...]:
    return tuple(manifest.facts.get("lineage", ()))


def _readable(ids: SemanticIds, items: ItemTable) -> str:
    """The ids as CSV: item_id, title, one column per level."""
    frame = pd.DataFrame(ids.codes, columns=[f"code_{level}" for level in range(ids.n_levels)])
    frame.insert(0, "title", items.frame["title"].to_numpy())
    frame.insert(0, "item_id", items.ids)
    buffer = io.StringIO()
    frame.to_csv(buffer, index=False)
    return buffer.getvalue()
