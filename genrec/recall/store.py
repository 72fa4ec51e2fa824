"""A recaller as an artifact: its settings, what it has learned, and the histories it recommends from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from genrec.artifacts import (
    MANIFEST,
    Manifest,
    Payload,
    check_input,
    input_ref,
    load_json,
    load_tensors,
    payload_path,
    read_manifest,
    save_artifact,
)
from genrec.data.histories import Histories
from genrec.data.splits import Part, Split
from genrec.data.tables import Dataset, Interactions
from genrec.errors import ArtifactError, ConfigError
from genrec.features.base import ItemFeatures
from genrec.recall.spec import PLAIN, built, class_name, described
from genrec.recall.storable import Storable, walk

KIND = "recaller"
RERUN = "python experiments/train_recall.py --model NAME CONFIG"
SETTINGS = "settings.json"


@dataclass(frozen=True)
class Origin:
    """What a recaller was made from.

    Attributes:
        part: the first part of the split that it has not learned from, `valid` or `test`.
        inputs: references (`genrec.artifacts.input_ref`) of dataset, split, training events, features, ...
    """

    part: Part
    inputs: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, data: Dataset, split: Split, part: Part, features: ItemFeatures | None = None) -> Origin:
        """The origin of a recaller that is fitted to what precedes `part`."""
        inputs = {
            "dataset": input_ref(data.name, data.content_hash),
            "split": input_ref(split.protocol, split.hash),
            "events": input_ref(f"before {part}", events_hash(split.before(part))),
        }
        if features is not None:
            inputs["features"] = input_ref(features.encoder, features.digest)
        return cls(part, inputs)

    def reading(self, recaller: object) -> Origin:
        """This origin, with the artifacts that a recaller and those inside it read."""
        inside = [one for _, one in walk(recaller)] if isinstance(recaller, Storable) else []
        return Origin(self.part, {**self.inputs, **{k: v for one in inside for k, v in one.reads().items()}})


def events_hash(events: Interactions) -> str:
    """sha256 over users, items, ratings and times of events, in their order, hex."""
    digest = hashlib.sha256(f"{events.n_users} {events.n_items} {len(events)}".encode())
    for column in (events.users, events.items, events.ratings, events.timestamps):
        digest.update(b"-" if column is None else np.ascontiguousarray(column).view(np.uint8).data)
    return digest.hexdigest()


def check_storable(recaller: Storable) -> None:
    """Raise ConfigError unless it can be made again from its settings; ask before training, not after."""
    name, places = type(recaller).__name__, _places(recaller)
    settings = described(recaller, name)
    again = built(settings, Storable)
    if settings != described(again, name) or places != _places(again):
        raise ConfigError(
            f"{name}, made from the arguments it keeps, is not what it was; let each attribute that has the name of an "
            "argument hold that argument"
        )


def save_recaller(
    folder: Path,
    recaller: Storable,
    origin: Origin,
    *,
    config: str = "",
    config_hash: str = "",
    metrics: Mapping[str, float] | None = None,
    rerun: str = RERUN,
) -> Manifest:
    """Write a fitted recaller; arrays that several recallers inside it share are written once.

    Args:
        config: the operative configuration.
        metrics: figures to keep with it.
        rerun: the command that makes it, for error messages.

    Raises:
        ConfigError: it cannot be stored.
    """
    files = _Files()
    state = {place: _state(one, place, files) for place, one in walk(recaller)}
    settings = {"recaller": described(recaller, type(recaller).__name__), "state": state}
    return save_artifact(
        folder,
        kind=KIND,
        payload={**files.payload, SETTINGS: json.dumps(settings, indent=2)},
        config=config,
        config_hash=config_hash,
        inputs=origin.reading(recaller).inputs,
        metrics=metrics,
        facts={"class": class_name(recaller, type(recaller).__name__), "part": origin.part},
        rerun=rerun,
    )


def load_recaller(folder: Path, events: Interactions | None = None, *, rerun: str = RERUN) -> Storable:
    """Read and verify a fitted recaller, which recommends what it did when it was written; arrays stay on the disk.

    Args:
        events: what it must have learned from; None accepts any.

    Raises:
        ArtifactError: missing, damaged, made from other events or other artifacts than are there now, or of a class
            that is not accepted (see `genrec.recall.spec`).
    """
    manifest = read_manifest(folder, KIND, rerun=rerun)
    if events is not None:
        check_input(manifest, folder, "events", events_hash(events))
    settings = load_json(folder, manifest, SETTINGS)
    recaller = built(settings["recaller"], Storable)
    files = _Stored(folder, manifest)
    for place, one in walk(recaller):
        if place not in settings["state"]:
            raise ArtifactError(
                f"the {type(recaller).__name__} in {folder} does not fit this version of the code; run "
                f"`{manifest.rerun}` again"
            )
        for name, reference in one.reads().items():
            check_input(manifest, folder, name, reference["hash"])
        _restore(one, settings["state"][place], files)
    return recaller  # type: ignore[no-any-return] # checked by the hint above


def finished(folder: Path, origin: Origin, config_hash: str) -> Manifest | None:
    """The manifest of the recaller in `folder`, if it is whole and was made just so.

    Args:
        origin: what it would be made from now.
    """
    if not (folder / MANIFEST).exists():
        return None
    try:
        manifest = read_manifest(folder, KIND)
        for name in manifest.files:
            payload_path(folder, manifest, name)
    except ArtifactError:  # foreign or damaged: it is made again
        return None
    made_from = {name: one["hash"] for name, one in manifest.inputs.items()}
    wanted = {name: one["hash"] for name, one in origin.inputs.items()}
    same = manifest.config_hash == config_hash and manifest.facts.get("part") == origin.part
    return manifest if same and made_from == wanted else None


def _places(recaller: Storable) -> list[str]:
    return [f"{place}:{type(one).__name__}" for place, one in walk(recaller)]


@dataclass
class _Files:
    """The files of an artifact to be written; an array that is there already is not written again."""

    payload: dict[str, Payload] = field(default_factory=dict)

    def array(self, name: str, array: NDArray[Any]) -> str:
        for known, other in self.payload.items():
            if isinstance(other, np.ndarray) and _same(other, array):
                return known
        self.payload[f"{name}.npy"] = array
        return f"{name}.npy"

    def tensors(self, name: str, tensors: Mapping[str, torch.Tensor]) -> str:
        self.payload[f"{name}.safetensors"] = {key: one.detach().cpu() for key, one in tensors.items()}
        return f"{name}.safetensors"


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether the bytes are the same; it does not look into arrays that are not laid out row by row."""
    alike = one.dtype == other.dtype and one.shape == other.shape
    if not alike or one is other or not (one.flags.c_contiguous and other.flags.c_contiguous):
        return one is other
    return bool(np.array_equal(one.reshape(-1).view(np.uint8), other.reshape(-1).view(np.uint8)))


@dataclass(frozen=True)
class _Stored:
    """The files of an artifact to be read."""

    folder: Path
    manifest: Manifest

    def array(self, name: str) -> NDArray[Any]:
        """Mapped into memory; changes, which nobody should make, would not reach the disk."""
        path = payload_path(self.folder, self.manifest, name)
        return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
        return load_tensors(self.folder, self.manifest, name)


def _state(one: Storable, place: str, files: _Files) -> dict[str, Any]:
    """What a recaller knows after `fit`, as JSON and files."""
    prefix = f"{place}." if place else ""
    state = {}
    for name in one.learned:
        where = f"{type(one).__name__}.{name}"
        if not hasattr(one, name):
            raise ConfigError(f"{where} is listed as learned, but nothing has set it; fit the recaller first")
        state[name] = _entry(getattr(one, name), f"{prefix}{name}", where, files)
    return {"learned": state, "histories": _histories(one, prefix, files)}


def _histories(one: Storable, prefix: str, files: _Files) -> dict[str, Any] | None:
    if not hasattr(one, "histories"):
        return None
    known, prefix = one.histories, f"{prefix}histories"
    times = None if known.timestamps is None else files.array(f"{prefix}.timestamps", known.timestamps)
    return {
        "offsets": files.array(f"{prefix}.offsets", known.offsets),
        "items": files.array(f"{prefix}.items", known.items),
        "timestamps": times,
        "n_items": known.n_items,
    }


def _entry(value: object, name: str, where: str, files: _Files) -> dict[str, Any]:
    """One learned attribute."""
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return {"array": files.array(name, value)}
    if isinstance(value, sp.csr_array):
        parts = {part: files.array(f"{name}.{part}", getattr(value, part)) for part in CSR}
        return {"csr": parts, "shape": list(value.shape)}
    if isinstance(value, Mapping) and value and all(isinstance(one, torch.Tensor) for one in value.values()):
        return {"tensors": files.tensors(name, value)}
    if isinstance(value, PLAIN):
        return {"plain": described(value, where)}
    raise ConfigError(
        f"{where} is a {type(value).__name__}, which cannot be stored; keep an array of numbers, a csr_array, a "
        "mapping of tensors, or plain values"
    )


CSR = ("data", "indices", "indptr")


def _restore(one: Storable, state: Mapping[str, Any], files: _Stored) -> None:
    """Give a recaller back what it knew."""
    known = state["histories"]
    if known is not None:
        times = known["timestamps"]
        one.remember(
            Histories(
                files.array(known["offsets"]),
                files.array(known["items"]),
                known["n_items"],
                None if times is None else files.array(times),
            )
        )
    for name, entry in state["learned"].items():
        setattr(one, name, _value(entry, files))
    one.restored()


def _value(entry: Mapping[str, Any], files: _Stored) -> Any:
    if "array" in entry:
        return files.array(entry["array"])
    if "csr" in entry:
        arrays = tuple(files.array(entry["csr"][part]) for part in CSR)
        return sp.csr_array(arrays, shape=tuple(entry["shape"]))
    if "tensors" in entry:
        return files.tensors(entry["tensors"])
    return built(entry["plain"])
