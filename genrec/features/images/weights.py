"""Weights of image networks: reading state dicts and fitting them into a network. Nothing is unpickled."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from genrec.errors import DataError

DEFAULT = "default"
NONE = "none"
"""`weights=` of a network that stays as it was drawn: a control, its features mean nothing."""

SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")

State = dict[str, Tensor]

_WRAPPERS = (
    "state_dict",
    "model",
    "model_state_dict",
)  # training scripts put the state dict under one of these
_UNPICKLING: type[Exception] = torch.serialization.pickle.UnpicklingError  # type: ignore[attr-defined]


def local_file(weights: str) -> Path | None:
    """The file that `weights` names, or None if it does not look like one.

    Raises:
        DataError: it looks like one, but there is none.
    """
    path = Path(weights)
    if path.is_file():
        return path
    if path.suffix in SUFFIXES or len(path.parts) > 1:
        raise DataError(f"weights file {weights} does not exist; correct the path")
    return None


def read_state(path: Path) -> State:
    """The state dict in a `.safetensors` file or in one written by torch; never runs code of the file.

    Raises:
        DataError: truncated, damaged, or something else than a state dict.
    """
    try:
        found = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError, OSError, _UNPICKLING) as error:
        raise DataError(
            f"weights {path} cannot be read: the file is truncated, or is no state dict as written by torch or "
            "safetensors; fetch it again"
        ) from error
    for key in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not found or not all(_is_entry(*pair) for pair in found.items()):
        raise DataError(f"weights {path} hold no state dict (names with tensors); give a file that does")
    return {name.removeprefix("module."): tensor for name, tensor in found.items()}


def _is_entry(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor)


def fit(
    module: nn.Module, state: Mapping[str, Tensor], head: Sequence[str], source: object, model: str
) -> None:
    """Load a state dict into a network whose classifier has been taken off.

    Args:
        head: the classifier's layers, whose weights are left out.
        source: of the weights, for error messages.
        model: name of the network, for error messages.

    Raises:
        DataError: they are weights of another network.
    """
    own = module.state_dict()
    body = {
        name: tensor for name, tensor in state.items() if not name.startswith(tuple(f"{h}." for h in head))
    }
    needed = [name for name in own if not name.endswith("num_batches_tracked")]  # old files lack the counters
    wrong = [f"{name} is missing" for name in needed if name not in body]
    wrong += [f"{name} is unknown" for name in body if name not in own]
    wrong += [
        f"{name} has shape {list(tensor.shape)}, not {list(own[name].shape)}"
        for name, tensor in body.items()
        if name in own and tensor.shape != own[name].shape
    ]
    if wrong:
        raise DataError(
            f"weights {source} are not those of {model}: {wrong[0]} (differences: {len(wrong)}); give a file made "
            "for this network, or name the network that it was made for"
        )
    module.load_state_dict(body, strict=False)


def renamed_by_position(state: Mapping[str, Tensor], names: Mapping[str, Tensor], source: object) -> State:
    """A state dict under the names that another implementation of the same network gives its tensors.

    Raises:
        DataError: number, kinds or shapes of the tensors differ.
    """
    pairs = list(zip(state.items(), names.items(), strict=False))
    fits = len(state) == len(names) and all(
        theirs.shape == ours.shape and other.rpartition(".")[2] == name.rpartition(".")[2]
        for (other, theirs), (name, ours) in pairs
    )
    if not fits:
        raise DataError(
            f"weights {source} are of another network than expected; install the published package"
        )
    return {name: theirs for (_, theirs), (name, _) in pairs}


def state_hash(module: nn.Module) -> str:
    """sha256 of names, types, shapes and values of a network's weights, hex."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {list(values.shape)}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@contextmanager
def drawn_alike() -> Iterator[None]:
    """Networks built inside are drawn from the same seed each time, disturb no generator, and log nothing."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # open_clip warns that there are no weights yet
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            yield
    finally:
        logging.disable(before)
