"""Vectors of some posters in a file: what a killed pass finds again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from genrec.artifacts import atomic_path


@dataclass(frozen=True)
class Shard:
    """Vectors of P posters.

    Attributes:
        vectors: float32 [P, D], rows of zeros where there is a reason.
        reasons: [P], why a poster has no vector; empty where it has one.
    """

    vectors: NDArray[np.float32]
    reasons: list[str]

    def write(self, path: Path) -> None:
        """Write it atomically."""
        with atomic_path(path) as written:
            reasons = json.dumps(self.reasons)
            save_file({"vectors": torch.from_numpy(self.vectors)}, written, metadata={"reasons": reasons})


def read_shard(path: Path) -> Shard | None:
    """What `Shard.write` wrote; None if it is not there or not whole."""
    try:
        with safe_open(path, framework="np") as file:
            return Shard(file.get_tensor("vectors"), json.loads(file.metadata()["reasons"]))
    except (FileNotFoundError, SafetensorError):
        return None
