"""Posters decoded in worker processes, in batches of bytes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from genrec.errors import ConfigError, DataError
from genrec.features.images.decode import UnreadableImage, read_picture
from genrec.features.images.preparation import Preparation

Decoded = tuple[int, Tensor | str]


@dataclass(frozen=True)
class Batch:
    """Some posters, those that could be read.

    Attributes:
        rows: their numbers in the list of files.
        squares: uint8 [B, S, S, 3]; B may be 0.
        refused: number -> reason of those that could not.
    """

    rows: list[int]
    squares: Tensor
    refused: dict[int, str]


class _Pictures(Dataset[Decoded]):
    """File by number, decoded; a reason instead of pixels where that fails."""

    def __init__(self, paths: Sequence[Path], preparation: Preparation) -> None:
        self.paths = paths
        self.preparation = preparation

    def __getitem__(self, number: int) -> Decoded:
        try:
            return number, torch.from_numpy(read_picture(self.paths[number], self.preparation).copy())
        except UnreadableImage as error:
            return number, str(error)


class _Collate:
    """Decoded files to a batch."""

    def __init__(self, size: int) -> None:
        self.nothing = torch.empty((0, size, size, 3), dtype=torch.uint8)

    def __call__(self, decoded: list[Decoded]) -> Batch:
        read = {number: content for number, content in decoded if isinstance(content, Tensor)}
        squares = torch.stack(list(read.values())) if read else self.nothing
        refused = {number: content for number, content in decoded if isinstance(content, str)}
        return Batch(list(read), squares, refused)


def default_workers() -> int:
    """Half the cores: decoding a poster takes a tenth of encoding it, so more would only disturb the network."""
    return max(1, min(8, (os.cpu_count() or 1) // 2))


def decoded_batches(
    paths: Sequence[Path], batches: list[list[int]], preparation: Preparation, workers: int | None
) -> Iterator[Batch]:
    """The files of each batch, decoded, in order.

    Args:
        batches: numbers of files, per batch.
        workers: processes that decode ahead; 0 decodes here, None takes `default_workers`.

    Raises:
        ConfigError: a negative number of workers.
        DataError: a worker was killed.
    """
    workers = default_workers() if workers is None else workers
    if workers < 0:
        raise ConfigError(f"extract.workers must be 0 or more, got {workers}")
    loader = DataLoader(
        _Pictures(paths, preparation),
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_Collate(preparation.size),
        prefetch_factor=2 if workers else None,
        # Other ways to start have a server between, which would outlive a killed pass.
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
    )
    try:
        yield from loader
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise DataError(
            "a process that decodes posters was killed, for lack of memory or of shared memory (/dev/shm); run the "
            "command again, it goes on, with extract.workers = 0 or a smaller extract.batch_size"
        ) from error
