"""A recaller that was trained before, behind the interface of one that is trained now."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from genrec.artifacts import MANIFEST, input_ref, read_manifest
from genrec.data.histories import Histories
from genrec.data.recommendations import Recommendations
from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ArtifactError
from genrec.features.base import ItemFeatures
from genrec.recall.base import Recaller
from genrec.recall.storable import Storable
from genrec.recall.store import KIND, RERUN, events_hash, load_recaller

PARTS = ("valid", "test")


class Stored(Storable):
    """What `experiments/train_recall.py` wrote: `fit` learns nothing, but takes the recaller that has learned from it.

    Args:
        folder: such as `out/ml100k/recall-ease`; it holds recallers for each part of the split.
    """

    learned: ClassVar[tuple[str, ...]] = ("part",)
    part: str

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None = None) -> Self:
        """Load the recaller that was trained on exactly these events.

        Raises:
            ArtifactError: there is none, or its files are damaged.
        """
        wanted = events_hash(train)
        found = {part: read_manifest(self._of(part), KIND) for part in PARTS if self._exists(part)}
        if not found:
            raise ArtifactError(f"there is no recaller in {self.folder}; run `{RERUN}` first")
        fitting = [part for part, one in found.items() if one.inputs["events"]["hash"] == wanted]
        if not fitting:
            rerun = next(iter(found.values())).rerun
            raise ArtifactError(
                f"the recallers in {self.folder} were trained on other events than these; run `{rerun}` again with "
                "this dataset and split"
            )
        self.part = fitting[0]
        self.remember(Histories.of(train))
        self.restored()
        return self

    def recommend(self, users: NDArray[np.int32], k: int, *, exclude_seen: bool = True) -> Recommendations:
        """The k best items of each user; with `exclude_seen`, none of the user's history."""
        return self.recaller.recommend(users, k, exclude_seen=exclude_seen)

    def restored(self) -> None:
        """Load the recaller."""
        loaded = load_recaller(self._of(self.part))
        self.recaller: Recaller = loaded  # type: ignore[assignment] # what is stored is a recaller

    def reads(self) -> dict[str, dict[str, str]]:
        """The recallers in the folder."""
        return {
            f"{self.folder} {part}": input_ref(self._of(part), read_manifest(self._of(part), KIND).identity)
            for part in PARTS
            if self._exists(part)
        }

    def _of(self, part: str) -> Path:
        return Path(self.folder) / part

    def _exists(self, part: str) -> bool:
        return (self._of(part) / MANIFEST).exists()
