"""A pipeline as one folder, complete in itself: copied to another machine, it answers there what it answered here.

    out/<dataset>/pipeline/<part>/
        manifest.json, config.gin   what it is made from, by hash
        settings-….json             how the stages work together, and the re-ranker
        items-….parquet, …          the catalogue, users, the log of events, item features
        recaller/, preranker/, ...  copies of the artifacts of the stages, with their own manifests

A recaller that reads further folders (a generative model and its ids, `Recaller.reads`) names them relative to the
working directory: take them along to the same place. Loading checks every file and that all stages fit each other.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from genrec.artifacts import (
    MANIFEST,
    Manifest,
    Payload,
    artifact_files,
    atomic_path,
    check_input,
    input_ref,
    load_json,
    load_table,
    load_tensors,
    read_manifest,
    save_artifact,
)
from genrec.data.splits import Part, Split
from genrec.data.tables import Dataset, Interactions, ItemTable
from genrec.errors import ArtifactError
from genrec.features.base import ItemFeatures
from genrec.pipeline import Pipeline
from genrec.preranking import TastePreRanker
from genrec.ranking.prerank import KIND as PRERANKER
from genrec.ranking.prerank import load_prerank
from genrec.ranking.store import KIND as RANKER
from genrec.ranking.store import RERUN as TRAIN_RANKER
from genrec.ranking.store import load_ranker
from genrec.recall.spec import built, described
from genrec.recall.store import KIND as RECALLER
from genrec.recall.store import RERUN as TRAIN_RECALLER
from genrec.recall.store import events_hash, load_recaller
from genrec.rerank.base import Reranker
from genrec.stages import Settings, World
from genrec.tokenizer.semantic_ids import catalogue_hash

KIND = "pipeline"
RERUN = "python experiments/evaluate_pipeline.py CONFIG"
SETTINGS, ITEMS, USERS, LOG = "settings.json", "items.parquet", "users.parquet", "log.parquet"
_COLUMNS = ("users", "items", "ratings", "timestamps", "positions")


@dataclass(frozen=True)
class Sources:
    """The artifacts that a pipeline is made of.

    Attributes:
        recaller: folder of a recaller, such as `out/ml100k/recall-ease`, with one artifact per part of the split.
        ranker: folder of a ranker, or None.
        preranker: folder of a pre-ranker, or None.
    """

    recaller: Path
    ranker: Path | None = None
    preranker: Path | None = None

    def of(self, part: Part) -> dict[str, Path]:
        """The artifacts that there are, by the name of the stage."""
        named = {"recaller": self.recaller / part, "preranker": self.preranker, "ranker": self.ranker}
        return {name: folder for name, folder in named.items() if folder is not None}


def save_pipeline(
    folder: Path,
    sources: Sources,
    data: Dataset,
    split: Split,
    part: Part,
    *,
    features: ItemFeatures | None = None,
    tasted: ItemFeatures | None = None,
    reranker: Reranker | None = None,
    settings: Settings | None = None,
    config: str = "",
    metrics: Mapping[str, float] | None = None,
    rerun: str = RERUN,
) -> Manifest:
    """Check that the stages fit each other, and write them into one folder.

    Args:
        folder: replaced where it is a pipeline already; while it is being written, it refuses to load.
        sources: trained stages.
        data: that they were trained on.
        split: that they were trained with.
        part: what the pipeline may be judged by; it knows the events that precede it.
        features: of the items, for the diversity of lists.
        tasted: of the items, those that the pre-ranker was trained with.
        reranker: makes the final order.
        settings: how the stages work together.
        config: the operative configuration.
        metrics: figures to keep with it.
        rerun: the command that makes it, for error messages.

    Raises:
        ArtifactError: a stage is missing, damaged, or was made from other data, another split or part.
        ConfigError: the re-ranker cannot be stored.
    """
    order = None if reranker is None else described(reranker, type(reranker).__name__)
    log = split.before(part)
    inputs = {
        "dataset": input_ref(data.name, data.content_hash),
        "split": input_ref(split.protocol, split.hash),
    }
    stages = sources.of(part)
    manifests = _fitting(sources, part, inputs, events_hash(log), "none" if tasted is None else tasted.digest)
    for name, place in stages.items():
        inputs[name] = input_ref(name, manifests[name].identity)
        _copy(place, folder / name)
    payload: dict[str, Payload] = {
        SETTINGS: json.dumps({"settings": asdict(settings or Settings()), "reranker": order}, indent=2),
        ITEMS: pa.Table.from_pandas(data.items.frame, preserve_index=False),
        USERS: pa.table({"user_id": pa.array(data.users.ids)}),
        LOG: _events_table(log),
    }
    for name, known in (("features", features), ("tasted", tasted)):
        if known is not None:
            inputs[name] = input_ref(known.encoder, known.digest)
            tensors = {"vectors": known.vectors, "present": known.present}
            payload[VECTORS[name]] = {key: torch.from_numpy(one) for key, one in tensors.items()}
    return save_artifact(
        folder,
        kind=KIND,
        payload=payload,
        config=config,
        inputs=inputs,
        metrics=metrics,
        facts={"part": part, "dataset": data.name, "catalogue": catalogue_hash(data.items)},
        rerun=rerun,
    )


KINDS: Mapping[str, str] = {"recaller": RECALLER, "preranker": PRERANKER, "ranker": RANKER}
TRAINERS: Mapping[str, str] = {
    "recaller": TRAIN_RECALLER,
    "preranker": "python experiments/train_prerank.py CONFIG",
    "ranker": TRAIN_RANKER,
}
VECTORS: Mapping[str, str] = {"features": "features.safetensors", "tasted": "tasted.safetensors"}


def _fitting(
    sources: Sources, part: Part, inputs: Mapping[str, Mapping[str, str]], events: str, tasted: str
) -> dict[str, Manifest]:
    """The manifests of the stages, which are of one dataset, one split, and one recaller.

    Args:
        sources: the artifacts.
        part: which recaller is meant.
        inputs: dataset and split.
        events: hash of what the recaller must have learned from.
        tasted: hash of what the pre-ranker must have read.
    """
    stages = sources.of(part)
    found = {name: read_manifest(place, KINDS[name], rerun=TRAINERS[name]) for name, place in stages.items()}
    for name, manifest in found.items():
        for made_from in ("dataset", "split"):
            check_input(manifest, stages[name], made_from, inputs[made_from]["hash"])
    check_input(found["recaller"], stages["recaller"], "events", events)
    if sources.preranker is not None:
        learned_from = read_manifest(sources.recaller / "valid", RECALLER, rerun=TRAIN_RECALLER)
        check_input(found["preranker"], sources.preranker, "recaller", learned_from.identity)
        check_input(found["preranker"], sources.preranker, "features", tasted)
    return found


def load_pipeline(folder: Path, *, split: Split | None = None, part: Part | None = None) -> Pipeline:
    """Read and verify a pipeline; nothing outside the folder is needed.

    Args:
        split: by which it will be judged; None for use.
        part: of the split, likewise.

    Raises:
        ArtifactError: missing, damaged, made of other stages than are in it, or for another split or part.
    """
    manifest = read_manifest(folder, KIND, rerun=RERUN)
    if split is not None:
        check_input(manifest, folder, "split", split.hash)
    if part is not None and manifest.facts.get("part") != part:
        raise ArtifactError(
            f"the pipeline in {folder} is for the part {manifest.facts.get('part')!r}; give the folder of the one for "
            f"{part!r}"
        )
    for name in (name for name in KINDS if name in manifest.inputs):
        own = read_manifest(folder / name, KINDS[name], rerun=manifest.rerun)
        check_input(manifest, folder, name, own.identity)
    items = ItemTable(_frame(load_table(folder, manifest, ITEMS)))
    if catalogue_hash(items) != manifest.facts.get("catalogue"):
        raise ArtifactError(
            f"the items in {folder} are not those of its stages; run `{manifest.rerun}` again"
        )
    log = _events(load_table(folder, manifest, LOG))
    users = load_table(folder, manifest, USERS)["user_id"].to_numpy()
    world = World(items, users, log, _features(folder, manifest, "features"))
    ranker = preranker = None
    tasted = _features(folder, manifest, "tasted")
    if "preranker" in manifest.inputs and tasted is not None:
        preranker = TastePreRanker(load_prerank(folder / "preranker")[0], tasted, world.histories)
    if "ranker" in manifest.inputs:
        ranker = load_ranker(folder / "ranker", catalogue=manifest.facts["catalogue"], rerun=manifest.rerun)
    saved = load_json(folder, manifest, SETTINGS)
    try:
        settings = Settings(**saved["settings"])
    except TypeError as error:
        raise ArtifactError(
            f"the pipeline in {folder} does not fit this version of the code; run `{manifest.rerun}` again"
        ) from error
    return Pipeline(
        load_recaller(folder / "recaller", log, rerun=manifest.rerun),  # type: ignore[arg-type] # recommends
        world,
        ranker=ranker,
        preranker=preranker,
        reranker=None if saved["reranker"] is None else built(saved["reranker"], Reranker),
        settings=settings,
    )


def _copy(source: Path, target: Path) -> None:
    """Copy an artifact's files, its manifest last."""
    names = [name for name in artifact_files(source) if name != MANIFEST]
    for name in (*names, MANIFEST):
        with atomic_path(target / name) as temporary:
            shutil.copyfile(source / name, temporary)
    stale = {path.name for path in target.iterdir() if path.is_file()} - {*names, MANIFEST}
    for name in stale:
        (target / name).unlink()


def _events_table(events: Interactions) -> pa.Table:
    columns = {name: pa.array(column) for name in _COLUMNS if (column := getattr(events, name)) is not None}
    sizes = {"n_users": str(events.n_users), "n_items": str(events.n_items)}
    return pa.table(columns).replace_schema_metadata(sizes)


def _events(table: pa.Table) -> Interactions:
    sizes = {key.decode(): int(value) for key, value in table.schema.metadata.items()}
    columns: dict[str, Any] = {name: table.column(name).to_numpy() for name in table.column_names}
    return Interactions(
        columns["users"],
        columns["items"],
        sizes["n_users"],
        sizes["n_items"],
        *(columns.get(name) for name in _COLUMNS[2:]),
    )


def _frame(table: pa.Table) -> Any:
    """The item table, lists of genres as lists."""
    lists = [name for name in table.column_names if pa.types.is_list(table.schema.field(name).type)]
    frame = table.drop_columns(lists).to_pandas()
    for name in lists:
        frame[name] = table[name].to_pylist()
    return frame[table.column_names]


def _features(folder: Path, manifest: Manifest, name: str) -> ItemFeatures | None:
    if VECTORS[name] not in manifest.files:
        return None
    tensors = load_tensors(folder, manifest, VECTORS[name])
    vectors, present = (np.asarray(tensors[key]) for key in ("vectors", "present"))
    return ItemFeatures(vectors, present, "stored", manifest.inputs[name]["path"])
