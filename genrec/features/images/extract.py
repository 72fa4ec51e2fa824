"""The pass over all posters of a catalogue, shard by shard, so that a killed one goes on where it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from genrec.artifacts import atomic_path, file_hash, text_hash
from genrec.data.tables import Dataset
from genrec.errors import ConfigError, DataError
from genrec.features.images.lanes import encoded_batches
from genrec.features.images.loader import Batch, decoded_batches
from genrec.features.images.network import ImageNetwork
from genrec.features.images.posters import MISSING, Poster, stamps_hash
from genrec.features.images.shards import Shard, read_shard
from genrec.features.poster_manifest import PosterManifest, items_hash, mask_text, read_poster_manifest

NOT_FINITE = "the encoder gave NaN or infinity"


@dataclass(frozen=True)
class Extraction:
    """How the posters of a catalogue are encoded.

    Args:
        network: already where it shall compute.
        batch_size: posters at once.
        workers: processes that decode; 0 for none, None for half the cores.
        shard_size: posters between two files: the most that a kill can cost.
    """

    network: ImageNetwork
    batch_size: int = 32
    workers: int | None = None
    shard_size: int = 1024

    def __post_init__(self) -> None:
        for name in ("batch_size", "shard_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"extract.{name} must be at least 1, got {getattr(self, name)}")

    def __call__(self, data: Dataset, posters: Sequence[Poster], path: Path) -> PosterManifest:
        """Write vectors, manifest and the list of failures, unless that has been done for these very posters.

        Args:
            posters: those that are there; other items have none.
            path: of the `.npy` file, float32 [N, D] by dense index; rows of items without features are zero.

        Raises:
            DataError: not one poster can be read.
        """
        made_from = self._key([*posters], items_hash(data.items))
        done = read_poster_manifest(path) if path.is_file() else None
        if done is not None and done.made_from == made_from and done.features == file_hash(path):
            return done
        folder = path.with_name(f".{path.stem}-shards")
        parts = [posters[at : at + self.shard_size] for at in range(0, len(posters), self.shard_size)]
        files = [folder / f"{self._key(part)}.safetensors" for part in parts]
        self._encode_missing(parts, files)
        reasons = self._assemble(len(data.items), parts, files, path)
        failures = path.with_name(f"{path.stem}.failed.csv")
        write_failures(failures, data.items.ids, reasons, parts)
        manifest = self._describe(data, path, failures, reasons, made_from)
        manifest.write(path)  # makes the rest valid
        shutil.rmtree(folder)
        return manifest

    def _key(self, posters: Sequence[Poster], catalogue: str = "") -> str:
        """Name of the result for these posters: changes with the files, the network, and the batches."""
        return text_hash(f"{self.network.identity} {self.batch_size} {catalogue} {stamps_hash(posters)}")

    def _encode_missing(self, parts: Sequence[Sequence[Poster]], files: Sequence[Path]) -> None:
        """Encode the parts that have no file yet. Batches end where parts do, so that every run has the same."""
        todo = [
            (part, file) for part, file in zip(parts, files, strict=True) if self._stored(file, part) is None
        ]
        paths = [poster.path for part, _ in todo for poster in part]
        starts = np.cumsum([0, *(len(part) for part, _ in todo)]).tolist()
        batches = [
            [list(range(at, min(at + self.batch_size, end))) for at in range(start, end, self.batch_size)]
            for start, end in pairwise(starts)
        ]
        decoded = decoded_batches(
            paths, [batch for some in batches for batch in some], self.network.preparation, self.workers
        )
        total = sum(map(len, parts))
        with (
            closing(encoded_batches(self.network, decoded)) as encoded,
            tqdm(total=total, initial=total - len(paths), unit="poster", desc=self.network.name) as bar,
        ):
            for (part, file), start, some in zip(todo, starts, batches, strict=False):
                self._collect(islice(encoded, len(some)), len(part), start, bar.update).write(file)

    def _collect(
        self,
        batches: Iterable[tuple[Batch, Tensor]],
        size: int,
        start: int,
        progress: Callable[[int], object],
    ) -> Shard:
        """The vectors of `size` posters, whose numbers begin at `start`."""
        vectors = np.zeros((size, self.network.width), dtype=np.float32)
        reasons = [""] * size
        for batch, encoded in batches:
            vectors[np.array(batch.rows, dtype=np.int64) - start] = encoded.numpy()
            for row, reason in batch.refused.items():
                reasons[row - start] = reason
            progress(len(batch.rows) + len(batch.refused))
        for row in np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist():
            vectors[row], reasons[row] = 0.0, NOT_FINITE
        return Shard(vectors, reasons)

    def _stored(self, file: Path, part: Sequence[Poster]) -> Shard | None:
        shard = read_shard(file)
        return shard if shard is not None and len(shard.reasons) == len(part) else None

    def _assemble(
        self, size: int, parts: Sequence[Sequence[Poster]], files: Sequence[Path], path: Path
    ) -> NDArray[np.object_]:
        """Write the `.npy` file of `size` rows; returns why each item has no vector, empty where it has one."""
        reasons = np.full(size, MISSING, dtype=object)
        with atomic_path(path) as written:
            shape = (size, self.network.width)
            whole = np.lib.format.open_memmap(written, mode="w+", dtype=np.float32, shape=shape)
            for part, file in zip(parts, files, strict=True):
                shard = self._stored(file, part)
                if shard is None:
                    raise DataError(f"{file} was removed or damaged meanwhile; run the command again")
                rows = [poster.item for poster in part]
                whole[rows], reasons[rows] = shard.vectors, shard.reasons
            whole.flush()
            if (reasons != "").all():
                first = parts[0][0]
                raise DataError(
                    f"none of the {sum(map(len, parts))} posters can be read ({first.path}: {reasons[first.item]}); "
                    "put readable ones there, for instance with experiments/download_posters.py"
                )
        return reasons

    def _describe(
        self, data: Dataset, path: Path, failures: Path, reasons: NDArray[np.object_], made_from: str
    ) -> PosterManifest:
        present = reasons == ""
        encoded, missing = int(present.sum()), int((reasons == MISSING).sum())
        items = len(data.items)
        return PosterManifest(
            encoder=f"{self.network.name}, weights {self.network.weights}",
            weights_hash=self.network.weights_hash,
            preparation=str(self.network.preparation),
            dataset=data.name,
            dataset_hash=data.content_hash,
            items_hash=items_hash(data.items),
            made_from=made_from,
            features=file_hash(path),
            width=self.network.width,
            counts={
                "items": items,
                "encoded": encoded,
                "missing": missing,
                "failed": items - encoded - missing,
            },
            failures=failures.name,
            present=mask_text(present),
        )


def write_failures(
    path: Path, ids: NDArray[np.generic], reasons: NDArray[np.object_], parts: Sequence[Sequence[Poster]]
) -> None:
    """The items without features: `item_id,reason,path`; the path is empty where there is no file."""
    paths = {poster.item: str(poster.path) for part in parts for poster in part}
    rows = np.flatnonzero(reasons != "")
    table = pd.DataFrame(
        {"item_id": ids[rows], "reason": reasons[rows], "path": [paths.get(int(row), "") for row in rows]}
    )
    with atomic_path(path) as written:
        table.to_csv(written, index=False)
