"""A trained ranker as an artifact, and what it says of rows: weights, model, schema with its log, calibration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genrec.artifacts import (
    Manifest,
    check_input,
    load_json,
    load_tensors,
    read_manifest,
    save_artifact,
)
from genrec.data.tables import Interactions
from genrec.errors import ArtifactError
from genrec.ranking.calibration import Calibration, calibration_name, read_calibration
from genrec.ranking.examples import Examples
from genrec.ranking.fitted import FittedSchema
from genrec.ranking.inputs import InputLayer
from genrec.ranking.models.base import RankModel, rank_model_name, rank_models
from genrec.ranking.rows import Rows
from genrec.ranking.schema_store import load_schema, schema_payload
from genrec.ranking.task import main_logits, predict

KIND = "ranker"
RERUN = "python experiments/train_ranker.py --model NAME CONFIG"
MODEL, SETTINGS, CALIBRATION = "model.safetensors", "settings.json", "calibration.json"


@dataclass(frozen=True)
class Scores:
    """What a ranker says of rows.

    Attributes:
        logits: float32 [R], to rank by: calibration keeps their order, but may make ties.
        probabilities: float64 [R], calibrated, that a row is good.
        tasks: raw outputs float32 [R] by task, of models with several.
    """

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    tasks: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Ranker:
    """A trained model with everything it reads.

    Attributes:
        model: in eval mode.
        schema: makes the features; its log is what is known of users and items.
        calibration: fitted on validation rows.
    """

    model: RankModel
    schema: FittedSchema
    calibration: Calibration

    def __call__(self, rows: Rows) -> Scores:
        """Scores of rows, each by what the log has strictly before the row's time."""
        logits = predict(self.model, Examples(self.schema.transform, rows, memory=0))
        main = main_logits(logits)
        names = self.model.tasks if logits.ndim > 1 else ()
        tasks = {name: logits[:, number] for number, name in enumerate(names)}
        return Scores(main, self.calibration(main), tasks)

    def with_log(self, events: Interactions) -> Ranker:
        """The same ranker, knowing other events."""
        return replace(self, schema=self.schema.with_log(events))

    def to(self, device: torch.device) -> Ranker:
        """The same ranker there."""
        return replace(self, model=self.model.to(device))


def save_ranker(
    folder: Path,
    ranker: Ranker,
    *,
    inputs: Mapping[str, Mapping[str, str]],
    catalogue: str,
    config: str = "",
    config_hash: str = "",
    metrics: Mapping[str, float] | None = None,
    rerun: str = RERUN,
    facts: Mapping[str, Any] | None = None,
) -> Manifest:
    """Write a ranker; nothing else is needed to score rows elsewhere.

    Args:
        inputs: references (`genrec.artifacts.input_ref`) of `dataset`, `split`, and the features and semantic ids that
            its schema has read.
        catalogue: `genrec.tokenizer.semantic_ids.catalogue_hash` of the items.
        facts: further ones to keep.

    Raises:
        ConfigError: the model is none that could be found again.
    """
    model = ranker.model
    settings = {"width": model.inputs.width, "arguments": model.settings}
    calibration = {"name": calibration_name(ranker.calibration), "state": ranker.calibration.state}
    return save_artifact(
        folder,
        kind=KIND,
        payload={
            MODEL: {name: one.detach().cpu() for name, one in model.state_dict().items()},
            SETTINGS: json.dumps(settings, indent=2),
            CALIBRATION: json.dumps(calibration),
            **schema_payload(ranker.schema),
        },
        config=config,
        config_hash=config_hash,
        inputs=inputs,
        metrics=metrics,
        facts={
            "model": rank_model_name(model),
            "catalogue": catalogue,
            "tasks": list(model.tasks),
            **(facts or {}),
        },
        rerun=rerun,
    )


def load_ranker(
    folder: Path,
    *,
    catalogue: str | None = None,
    split_hash: str | None = None,
    inputs: Mapping[str, str] | None = None,
    rerun: str = RERUN,
) -> Ranker:
    """Read and verify a ranker.

    Args:
        catalogue: hash of the items that it will score; None for use elsewhere.
        split_hash: the split that it will be judged with: it may have learned from what another one holds out.
        inputs: further inputs, by name, that must be the ones it was made from: name -> identity.

    Raises:
        ArtifactError: missing, damaged, made from something else, or of another version of the code.
    """
    manifest = read_manifest(folder, KIND, rerun=rerun)
    again = manifest.rerun or rerun
    if catalogue is not None and manifest.facts.get("catalogue") != catalogue:
        raise ArtifactError(
            f"the ranker in {folder} was trained for another catalogue; run `{again}` with this dataset"
        )
    needed = {**(inputs or {}), **({} if split_hash is None else {"split": split_hash})}
    for name, identity in needed.items():
        check_input(manifest, folder, name, identity)
    settings = load_json(folder, manifest, SETTINGS)
    calibration = load_json(folder, manifest, CALIBRATION)
    schema = load_schema(folder, manifest)
    try:
        kind = rank_models()[manifest.facts["model"]]
        model = kind(InputLayer(schema, settings["width"]), **settings["arguments"])
        model.load_state_dict(load_tensors(folder, manifest, MODEL))
        step = read_calibration(calibration["name"], calibration["state"])
    except (KeyError, RuntimeError, TypeError) as error:
        raise ArtifactError(
            f"the ranker in {folder} does not fit this version of the code; run `{again}` again"
        ) from error
    return Ranker(model.eval(), schema, step)
