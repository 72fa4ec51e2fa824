"""Recall by a generative model that was trained before, named by its folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genrec.artifacts import check_input, input_ref, read_manifest
from genrec.data.histories import Histories
from genrec.data.recommendations import Recommendations
from genrec.data.splits import Part, Split
from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.generative.store import KIND as MODEL_KIND
from genrec.generative.store import Model, load_model
from genrec.generative.timeline import Timeline
from genrec.recall.generative import EmbeddingRecaller, GenerativeRecaller, ModelRecaller
from genrec.recall.storable import Storable, walk
from genrec.tokenizer.store import KIND as IDS_KIND
from genrec.tokenizer.store import load_ids
from genrec.training.runtime import Runtime

RERUN = "python train_decoder.py CONFIG"


def _generated(model: Model, width: int) -> GenerativeRecaller:
    return GenerativeRecaller(model, width=width)


def _embedded(model: Model, width: int) -> EmbeddingRecaller:
    if not isinstance(model, Timeline) or model.dense is None:
        raise ConfigError(
            "Trained.how is 'embedding', but the model was trained without a dense head; use 'generative', or train "
            "with Timeline.dense_weight above 0"
        )
    return EmbeddingRecaller(model)


HOW: Mapping[str, Callable[[Model, int], ModelRecaller[Any]]] = {
    "generative": _generated,
    "embedding": _embedded,
}


class Trained(Storable):
    """The model of `train_decoder.py` as a recaller: `fit` learns nothing and takes the histories only.

    The model must not have seen what it is judged by, which the events that precede a part cannot tell. So whoever
    judges says first, with `judged_with`, which split and part that will be; `genrec.bench` does.

    Args:
        ids_path: folder of the semantic ids, by `train_rqvae.py`.
        decoder_path: folder of the model.
        how: `generative`, or `embedding` for the dense head.
        width: beam width of the generative one.
        runtime: device.
    """

    learned: ClassVar[tuple[str, ...]] = ("split_hash", "part", "item_ids")
    split_hash: str | None = None
    part: Part = "valid"
    item_ids: NDArray[Any]

    def __init__(
        self,
        ids_path: str,
        decoder_path: str,
        how: str = "generative",
        width: int = 50,
        runtime: Runtime | None = None,
    ) -> None:
        if how not in HOW:
            raise ConfigError(f"Trained.how must be one of {', '.join(HOW)}, got {how!r}")
        if width < 1:
            raise ConfigError(f"Trained.width must be at least 1, got {width}")
        self.ids_path = ids_path
        self.decoder_path = decoder_path
        self.how = how
        self.width = width
        self.runtime = runtime or Runtime()

    def fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None = None) -> Self:
        """Load ids and model, and take the histories.

        Raises:
            ArtifactError: they do not fit each other, the catalogue or the split, or the model has learned from the
                part that it is judged by.
            ConfigError: nobody has said which split that is.
        """
        raw = items.ids
        self.item_ids = raw if raw.dtype.kind in "iu" else raw.astype(str)
        self.remember(Histories.of(train))
        self.restored()
        return self

    def recommend(self, users: NDArray[np.int32], k: int, *, exclude_seen: bool = True) -> Recommendations:
        """The k best items of each user; with `exclude_seen`, none of the user's history."""
        return self.recaller.recommend(users, k, exclude_seen=exclude_seen)

    def restored(self) -> None:
        """Load ids and model."""
        if self.split_hash is None:
            raise ConfigError(
                "Trained.fit cannot tell whether the model has seen what it will be judged by; call "
                "genrec.recall.trained.judged_with(recaller, split, part) before"
            )
        items = ItemTable(pd.DataFrame({"item_id": self.item_ids}))
        ids = load_ids(Path(self.ids_path), items, self.split_hash)
        folder = Path(self.decoder_path)
        made_for = read_manifest(folder, MODEL_KIND, rerun=RERUN).facts.get("part")
        # A model for the test part may be judged there only; one for validation has seen less than it may.
        part: Part = "test" if made_for == self.part == "test" else "valid"
        model = load_model(folder, ids, self.split_hash, part=part).to(self.runtime.device)
        self.recaller = HOW[self.how](model, self.width).fit(_events(self.histories), items)

    def reads(self) -> dict[str, dict[str, str]]:
        """Ids and model."""
        return {
            name: input_ref(folder, read_manifest(Path(folder), kind, rerun=rerun).identity)
            for name, folder, kind, rerun in (
                ("semantic_ids", self.ids_path, IDS_KIND, "python train_rqvae.py CONFIG"),
                ("generative_model", self.decoder_path, MODEL_KIND, RERUN),
            )
        }


def judged_with(recaller: object, split: Split, part: Part) -> None:
    """Say to a recaller by which part of which split it will be judged; call it before `fit`.

    Every `Trained` inside hears it, and semantic ids that recallers inside read must be of this split: encoders that
    learn from behaviour may have seen the test events of another one.

    Raises:
        ArtifactError: they are of another split.
    """
    for one in [one for _, one in walk(recaller)] if isinstance(recaller, Storable) else []:
        if isinstance(one, Trained):
            one.split_hash, one.part = split.hash, part
        ids = one.reads().get("semantic_ids")
        if ids is not None:
            folder = Path(ids["path"])
            check_input(read_manifest(folder, IDS_KIND), folder, "split", split.hash)


def _events(histories: Histories) -> Interactions:
    """The events that histories were made of."""
    users = np.repeat(np.arange(histories.n_users, dtype=np.int32), histories.lengths)
    return Interactions(
        users,
        np.asarray(histories.items),
        histories.n_users,
        histories.n_items,
        timestamps=histories.timestamps,
    )
