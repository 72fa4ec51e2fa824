"""Checkpoints: one safetensors file each, written atomically, from which training goes on bit for bit.

The file holds the tensors of the model, the optimizer, the averaged weights and the random generators;
everything else (progress, learning rates, counters) is JSON in its header. No pickle.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from genrec.artifacts import atomic_path
from genrec.errors import ArtifactError
from genrec.training.ema import Ema

Name = Literal["last", "best"]
_FORMAT = "genrec-checkpoint-1"


class Checkpoints:
    """The checkpoints of one run, by name (`last`, `best`), in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def path(self, name: Name) -> Path:
        """The file of a checkpoint."""
        return self.folder / f"{name}.safetensors"

    def save(
        self,
        name: Name,
        *,
        model: nn.Module,
        progress: Mapping[str, Any],
        optimizer: Optimizer | None = None,
        ema: Ema | None = None,
    ) -> None:
        """Write a checkpoint; a process killed meanwhile leaves the old one.

        Args:
            progress: JSON values that `load` gives back.

        Raises:
            ArtifactError: the file cannot be written (disk full, no permission).
        """
        tensors = {f"model/{key}": _stored(value) for key, value in model.state_dict().items()}
        tree = {
            "progress": dict(progress),
            "optimizer": None if optimizer is None else optimizer.state_dict(),
            "averages": None if ema is None else ema.averages,
            "random": random_state(),
        }
        header = {"format": _FORMAT, "tree": json.dumps(_encode(tree, "", tensors))}
        header["sha256"] = _digest(header["tree"], tensors)
        self._remove_leftovers(name)
        with atomic_path(self.path(name)) as path:
            save_file(tensors, path, metadata=header)

    def load(
        self, name: Name, *, model: nn.Module, optimizer: Optimizer | None = None, ema: Ema | None = None
    ) -> dict[str, Any] | None:
        """Restore the model and, with an optimizer, all that training needs to go on: it, the averaged weights
        if there are any, and the generators.

        Returns:
            The progress that was saved, or None if there is no such checkpoint.

        Raises:
            ArtifactError: the file is damaged, foreign, or of another model or optimizer.
        """
        read = self._read(name)
        if read is None:
            return None
        tree, tensors = read
        weights = {key.removeprefix("model/"): t for key, t in tensors.items() if key.startswith("model/")}
        try:
            model.load_state_dict(weights)
            if optimizer is not None:
                optimizer.load_state_dict(tree["optimizer"] or {})
            if ema is not None:
                ema.load(tree["averages"] or [])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ArtifactError(
                f"{self.path(name)} does not fit this model and optimizer ({reason}); "
                "remove it or pass another --out"
            ) from error
        if optimizer is not None:
            set_random_state(tree["random"])
        progress: dict[str, Any] = tree["progress"]
        return progress

    def progress(self, name: Name) -> dict[str, Any] | None:
        """The progress of a checkpoint, without restoring anything."""
        read = self._read(name)
        return None if read is None else read[0]["progress"]

    def _remove_leftovers(self, name: Name) -> None:
        for path in self.folder.glob(f".{name}-*.safetensors"):
            path.unlink()

    def _read(self, name: Name) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        path = self.path(name)
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        except (SafetensorError, OSError) as error:
            raise ArtifactError(f"{path} is damaged ({error}); remove it to start again") from error
        if header.get("format") != _FORMAT:
            raise ArtifactError(
                f"{path} is not a checkpoint of this version of genrec; remove it to start again"
            )
        if header["sha256"] != _digest(header["tree"], tensors):
            raise ArtifactError(f"{path} is damaged (its checksum differs); remove it to start again")
        return _decode(json.loads(header["tree"]), tensors), tensors


def random_state() -> dict[str, Any]:
    """State of every global random generator: torch (CPU and accelerators), numpy's legacy one, Python's."""
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
        "numpy": np.random.get_state(),  # noqa: NPY002 - libraries still draw from it
        "python": random.getstate(),
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Set every generator to what `random_state` returned; devices that are not here are left out."""
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    if torch.backends.mps.is_available() and state["mps"] is not None:
        torch.mps.set_rng_state(state["mps"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    random.setstate(state["python"])


@contextmanager
def random_untouched() -> Iterator[None]:
    """Whatever is drawn inside, the generators go on afterwards as if it had not been."""
    before = random_state()
    try:
        yield
    finally:
        set_random_state(before)


def _stored(tensor: Tensor) -> Tensor:
    """A copy: safetensors refuses tensors that share memory, as tied weights do."""
    return tensor.detach().to("cpu", copy=True).contiguous()


def _encode(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """`value` as JSON; tensors and arrays move to `tensors`, and tuples and integer keys are marked."""
    if isinstance(value, Tensor):
        tensors[name] = _stored(value)
        return {"tensor": name}
    if isinstance(value, np.ndarray):
        tensors[name] = torch.from_numpy(value.copy())
        return {"array": name}
    if isinstance(value, dict):
        return {"dict": [[key, _encode(part, f"{name}/{key}", tensors)] for key, part in value.items()]}
    if isinstance(value, list | tuple):
        parts = [_encode(part, f"{name}/{i}", tensors) for i, part in enumerate(value)]
        return {"tuple": parts} if isinstance(value, tuple) else parts
    return value


def _decode(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    match next(iter(value.items())):
        case "tensor", name:
            return tensors[name]
        case "array", name:
            return tensors[name].numpy()
        case "tuple", parts:
            return tuple(_decode(part, tensors) for part in parts)
        case _, parts:  # "dict"
            return {key: _decode(part, tensors) for key, part in parts}


def _digest(tree: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(tree.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
