"""New items in an existing tokenizer: they get ids that are free, and no old id moves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from genrec.data.tables import ItemTable
from genrec.errors import ConfigError, DataError
from genrec.features.base import ItemFeatures
from genrec.tokenizer.alignment import align
from genrec.tokenizer.assignment import Assignment, named_ids
from genrec.tokenizer.base import Tokenized, Tokenizer
from genrec.tokenizer.collisions import UniqueAssignment
from genrec.tokenizer.semantic_ids import SemanticIds
from genrec.tokenizer.store import EarlierIds, load_earlier


@dataclass(frozen=True, kw_only=True)
class Extension(Assignment):
    """Keeps the ids of an earlier tokenizer's artifact and adds those of the items that it did not know.

    New features go through the stored weights; a new item whose id is taken goes to the nearest free one. The
    codebooks do not grow, so that a model that was trained on the old ids can speak the new ones.

    Attributes:
        folder: the earlier artifact.
        min_fit: least share of variance of old items that the map from the new description to the stored one
            must explain (see `genrec.tokenizer.alignment`), in [0, 1].
    """

    folder: str
    min_fit: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.min_fit <= 1:
            raise ConfigError(f"Extension.min_fit must be in [0, 1], got {self.min_fit}")

    @cached_property
    def earlier(self) -> EarlierIds:
        """The artifact that is extended."""
        return load_earlier(Path(self.folder))

    def described(self, features: ItemFeatures, items: ItemTable) -> ItemFeatures:
        """Stored features of old items, and those of new items in the same space.

        Raises:
            DataError: an old item is missing, there is no new one, or the descriptions cannot be reconciled.
        """
        aligned = align(self.earlier.features, features, self._rows(items))
        if aligned.fit < self.min_fit:
            raise DataError(
                f"the features of the new catalogue explain {aligned.fit:.0%} of the stored ones of the old items "
                f"({self.min_fit:.0%} needed), so new items cannot be placed among them; use the same encoders and "
                "events as before, lower Extension.min_fit, or train the tokenizer again"
            )
        return aligned.features

    def __call__(
        self, tokenizer: Tokenizer, features: ItemFeatures, items: ItemTable
    ) -> tuple[SemanticIds, Tokenized]:
        """Ids of the whole catalogue: the old ones as they were, and new ones beside them.

        Args:
            features: from `described`.

        Raises:
            ConfigError: the tokenizer is another one, or there is no room for the new items.
        """
        known = self.earlier
        if type(tokenizer).__name__ != known.ids.tokenizer:
            raise ConfigError(
                f"the ids in {known.folder} were made by {known.ids.tokenizer}, but train.tokenizer is "
                f"{type(tokenizer).__name__}; run with {known.folder / 'config.gin'}"
            )
        tokenizer.load(known.weights)
        rows = self._rows(items)
        new = np.setdiff1d(np.arange(len(items)), rows)
        vectors = torch.from_numpy(features.vectors)
        space = tokenizer.space(vectors[torch.from_numpy(new)])
        rule = UniqueAssignment() if known.ids.n_levels == len(tokenizer.sizes) else self.rule
        added, sizes = rule(space, space.nearest(), known.ids.codes)
        codes = np.empty((len(items), len(sizes)), dtype=np.int32)
        codes[rows], codes[new] = known.ids.codes, added
        whole = tokenizer.space(vectors)
        raw = whole.nearest()
        errors = whole.error_by_depth(raw)
        tokenized = Tokenized(codes, sizes, raw if errors else None, errors)
        return named_ids(tokenizer, tokenized, items), tokenized

    def _rows(self, items: ItemTable) -> NDArray[np.int64]:
        """Where the old items are in the catalogue int64 [N]."""
        rows = pd.Index(items.ids.astype(str)).get_indexer(pd.Index(self.earlier.item_ids))
        gone = np.flatnonzero(rows < 0)
        if len(gone):
            raise DataError(
                f"{len(gone)} of {len(rows)} items of the tokenizer in {self.folder} (first: "
                f"{self.earlier.item_ids[gone[0]]}) are not in this catalogue; keep old items in it, or train the "
                "tokenizer again"
            )
        if len(rows) == len(items):
            raise DataError(
                f"all {len(items)} items of this catalogue have an id in {self.folder} already; add the new items "
                "to the dataset's item file first"
            )
        return np.asarray(rows, dtype=np.int64)
