"""Artifacts: what stages hand to each other, in `out/<dataset>/<stage>/`.

An artifact is a folder with `manifest.json`, `config.gin` and payload files. The manifest is the commit
point: payload files carry a part of their content's hash in their name, are written first, and become the
artifact when the manifest that names them replaces the old one. A process killed at any moment leaves the
old artifact or the new one. Loading checks every hash, and that the artifacts it was made from are still
the ones on disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from genrec import __version__
from genrec.errors import ArtifactError

SCHEMA = 1
MANIFEST = "manifest.json"
CONFIG = "config.gin"


@dataclass(frozen=True)
class StoredFile:
    """A payload file: its name in the artifact's folder and the sha256 of its bytes."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What an artifact is and what it was made from.

    Attributes:
        kind: `semantic_ids`, `generative_model`, ...; a loader refuses another kind.
        files: logical name -> the file that holds it.
        inputs: name -> {"path": folder or dataset, "hash": its identity when this was made}.
        rerun: the command that makes this artifact, for error messages.
    """

    kind: str
    created: str
    config_hash: str
    files: dict[str, StoredFile]
    inputs: dict[str, dict[str, str]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    rerun: str = ""
    schema: int = SCHEMA
    code_version: str = __version__

    @property
    def identity(self) -> str:
        """Hash of the content (kind, payload, facts), the same for two builds that made the same bytes."""
        payload = sorted((name, file.sha256) for name, file in self.files.items())
        return text_hash(json.dumps([self.kind, self.schema, payload, self.facts], sort_keys=True))


def stage_folder(out: str | None, dataset: str, stage: str) -> Path:
    """Where a stage writes: `out`, or by convention `out/<dataset>/<stage>` below the working directory."""
    return Path(out) if out else Path("out") / dataset / stage


def text_hash(text: str) -> str:
    """sha256 of a text, hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """sha256 of a file, hex; read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; becomes `path` when the block ends well, vanishes otherwise.

    Raises:
        ArtifactError: the file cannot be written (disk full, no permission).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
    except OSError as error:
        raise _cannot_write(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise _cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _cannot_write(path: Path, error: Exception) -> ArtifactError:
    reason = getattr(error, "strerror", None) or error  # numpy's OSError on a full disk has no strerror
    return ArtifactError(f"cannot write {path}: {reason}; free space or choose another --out")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write a JSON file atomically, two spaces deep."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


Payload: TypeAlias = np.ndarray[Any, Any] | Mapping[str, torch.Tensor] | pa.Table | str
"""An array (`.npy`), a dict of tensors (`.safetensors`), a table (`.parquet`), or text (as it is)."""


def _write_payload(folder: Path, name: str, value: Payload) -> StoredFile:
    """Write one payload file under a name that carries its hash; returns its manifest entry."""
    written = folder / f".writing-{name}"
    with atomic_path(written) as path:
        if isinstance(value, str):
            path.write_text(value, encoding="utf-8")
        elif isinstance(value, np.ndarray):
            with path.open("wb") as file:
                np.save(file, value, allow_pickle=False)
        elif isinstance(value, pa.Table):
            pq.write_table(value, path)
        else:
            save_file({key: tensor.contiguous() for key, tensor in value.items()}, path)
    digest = file_hash(written)
    stored = f"{Path(name).stem}-{digest[:8]}{Path(name).suffix}"
    written.replace(folder / stored)
    return StoredFile(stored, digest)


def save_artifact(
    folder: Path,
    *,
    kind: str,
    payload: Mapping[str, Payload],
    config: str,
    config_hash: str = "",
    inputs: Mapping[str, Mapping[str, str]] | None = None,
    metrics: Mapping[str, float] | None = None,
    facts: Mapping[str, Any] | None = None,
    rerun: str = "",
) -> Manifest:
    """Write an artifact; the old one stays whole until the manifest of the new one replaces its own.

    Args:
        payload: file name (`codes.npy`, `model.safetensors`, `settings.json`) -> content.
        config: the operative configuration, stored as `config.gin`.
        facts: small JSON facts that belong to the content (codebook sizes, model settings).
    """
    files = {name: _write_payload(folder, name, value) for name, value in payload.items()}
    manifest = Manifest(
        kind=kind,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        config_hash=config_hash or text_hash(config),
        files=files,
        inputs={name: dict(ref) for name, ref in (inputs or {}).items()},
        metrics={name: float(value) for name, value in (metrics or {}).items()},
        facts=dict(facts or {}),
        rerun=rerun,
    )
    with atomic_path(folder / CONFIG) as written:  # has its room on the disk before the manifest commits
        written.write_text(config, encoding="utf-8")
        write_json(folder / MANIFEST, asdict(manifest))
    _remove_replaced(folder, manifest)
    return manifest


def _remove_replaced(folder: Path, manifest: Manifest) -> None:
    """Drop what the manifest does not name: payload files of earlier builds and leftovers of killed ones."""
    kept = {file.path for file in manifest.files.values()}
    payload = [f"{Path(name).stem}-????????{Path(name).suffix}" for name in manifest.files]
    for pattern in (*payload, ".*writing-*", ".manifest-*.json", ".config-*.gin"):
        for stale in folder.glob(pattern):
            if stale.name not in kept:
                stale.unlink(missing_ok=True)


def read_manifest(folder: Path, kind: str, *, rerun: str = "") -> Manifest:
    """Read a manifest and check that it is of `kind` and of this schema.

    Args:
        rerun: command named in the error when there is no artifact.
    """
    path = folder / MANIFEST
    hint = f"; run `{rerun}` first" if rerun else ""
    if not path.exists():
        raise ArtifactError(f"no {kind} artifact in {folder}{hint}")
    try:
        manifest = TypeAdapter(Manifest).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        raise ArtifactError(
            f"{path} is not a manifest of genrec ({where}: {first['msg']}); remove {folder}{hint}"
        ) from error
    if manifest.kind != kind:
        raise ArtifactError(f"{folder} holds a {manifest.kind} artifact where {kind} is needed{hint}")
    if manifest.schema != SCHEMA:
        raise ArtifactError(
            f"{folder} was written with schema {manifest.schema}, this code reads {SCHEMA}; run "
            f"`{manifest.rerun or rerun}` again"
        )
    return manifest


def payload_path(folder: Path, manifest: Manifest, name: str) -> Path:
    """Path of a payload file whose content has been checked against the manifest."""
    again = f"run `{manifest.rerun}` again" if manifest.rerun else "make the artifact again"
    if name not in manifest.files:
        raise ArtifactError(f"the artifact in {folder} has no {name}; {again}")
    stored = manifest.files[name].path
    if Path(stored).name != stored or stored in ("", ".."):
        raise ArtifactError(f"{folder / MANIFEST} names {stored!r}, which is outside its folder; {again}")
    path = folder / stored
    if not path.is_file():
        raise ArtifactError(f"{path} is missing although the manifest names it; {again}")
    if file_hash(path) != manifest.files[name].sha256:
        raise ArtifactError(f"{path} was changed or damaged after it was written (its hash differs); {again}")
    return path


def load_array(folder: Path, manifest: Manifest, name: str) -> np.ndarray[Any, Any]:
    """A checked `.npy` payload."""
    return np.load(payload_path(folder, manifest, name), allow_pickle=False)  # type: ignore[no-any-return]


def load_tensors(folder: Path, manifest: Manifest, name: str) -> dict[str, torch.Tensor]:
    """A checked `.safetensors` payload."""
    return load_file(payload_path(folder, manifest, name))


def load_table(folder: Path, manifest: Manifest, name: str) -> pa.Table:
    """A checked `.parquet` payload."""
    return pq.read_table(payload_path(folder, manifest, name))


def load_json(folder: Path, manifest: Manifest, name: str) -> Any:
    """A checked JSON payload."""
    return json.loads(payload_path(folder, manifest, name).read_text(encoding="utf-8"))


def check_input(manifest: Manifest, folder: Path, name: str, identity: str) -> None:
    """Raise unless the artifact in `folder` was made from the input that is here now.

    Args:
        name: the input's name in the manifest.
        identity: hash of that input as loaded now.
    """
    recorded = manifest.inputs.get(name, {"path": "unknown", "hash": "unknown"})
    if recorded["hash"] != identity:
        raise ArtifactError(
            f"the {manifest.kind} in {folder} was made from {name} {recorded['hash'][:8]} ({recorded['path']}), but "
            f"here it is {identity[:8]}; run `{manifest.rerun or 'the stage'}` again or use that {name}"
        )


def input_ref(path: Path | str, identity: str) -> dict[str, str]:
    """An entry of `inputs`."""
    return {"path": str(path), "hash": identity}


def artifact_files(folder: Path) -> list[str]:
    """Files of an artifact, and of artifacts below it that it was made from, relative to its folder."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    names = [MANIFEST, "config.gin", *(file["path"] for file in manifest["files"].values())]
    for reference in manifest["inputs"].values():
        below = folder / Path(reference["path"]).name
        if (below / MANIFEST).exists():
            names += [f"{below.name}/{name}" for name in artifact_files(below)]
    return names
