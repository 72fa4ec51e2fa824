"""Item features as an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from genrec.artifacts import Manifest, load_array, read_manifest, save_artifact
from genrec.features.base import ItemFeatures

KIND = "item_features"


def save_features(
    features: ItemFeatures,
    folder: Path,
    *,
    config: str,
    inputs: Mapping[str, Mapping[str, str]] | None = None,
    rerun: str = "",
) -> Manifest:
    """Write vectors, present mask and description into the artifact `folder`, atomically.

    Args:
        config: the operative configuration.
        inputs: what the features were made from, see `genrec.artifacts.input_ref`.
        rerun: command that makes them again, for error messages.
    """
    return save_artifact(
        folder,
        kind=KIND,
        payload={"vectors.npy": features.vectors, "present.npy": features.present},
        config=config,
        inputs=inputs,
        metrics={"items": len(features), "present": int(features.present.sum()), "width": features.width},
        facts={
            "modality": features.modality,
            "encoder": features.encoder,
            "weights_hash": features.weights_hash,
            "parts": [list(part) for part in features.parts],
        },
        rerun=rerun,
    )


def load_features(folder: Path, *, rerun: str = "") -> ItemFeatures:
    """Read and verify what `save_features` wrote.

    Raises:
        ArtifactError: missing, damaged, or of another kind.
    """
    manifest = read_manifest(folder, KIND, rerun=rerun)
    facts = manifest.facts
    return ItemFeatures(
        vectors=load_array(folder, manifest, "vectors.npy"),
        present=load_array(folder, manifest, "present.npy"),
        modality=facts["modality"],
        encoder=facts["encoder"],
        weights_hash=facts["weights_hash"],
        parts=tuple((name, width) for name, width in facts["parts"]),
    )
