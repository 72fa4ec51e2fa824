"""From a tokenizer to semantic ids: codes, collision rule, quality, alarm."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from genrec.data.tables import ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.tokenizer.base import Tokenized, Tokenizer
from genrec.tokenizer.collisions import CollisionRule, UniqueAssignment
from genrec.tokenizer.quality import check_usage, genre_matrix, quality
from genrec.tokenizer.semantic_ids import SemanticIds, catalogue_hash
from genrec.tokenizer.store import EarlierIds


@dataclass(frozen=True)
class Assignment:
    """How codes become unique ids.

    Attributes:
        rule: what happens to colliding items.
        min_usage: share of its possible codes that every level must use, in [0, 1]; below it the run fails.
    """

    rule: CollisionRule = field(default_factory=UniqueAssignment)
    min_usage: float = 0.25

    def __post_init__(self) -> None:
        if not 0 <= self.min_usage <= 1:
            raise ConfigError(f"Assignment.min_usage must be in [0, 1], got {self.min_usage}")

    @property
    def earlier(self) -> EarlierIds | None:
        """Ids that stay as they are, with the tokenizer that made them; None: all is made anew."""
        return None

    def described(self, features: ItemFeatures, items: ItemTable) -> ItemFeatures:
        """The features that the tokenizer shall read, given what the encoders say about the catalogue."""
        return features

    def __call__(
        self, tokenizer: Tokenizer, features: ItemFeatures, items: ItemTable
    ) -> tuple[SemanticIds, Tokenized]:
        """Ids of the whole catalogue.

        Raises:
            TokenizerCollapse: a level uses too few of its codes.
        """
        tokenized = tokenizer.tokenize(torch.from_numpy(features.vectors), self.rule)
        ids = named_ids(tokenizer, tokenized, items)
        learned = tokenized.codes if tokenized.raw is None else tokenized.raw
        check_usage(ids.quality, tokenized.sizes[: learned.shape[1]], len(items), self.min_usage)
        return ids, tokenized


def named_ids(tokenizer: Tokenizer, tokenized: Tokenized, items: ItemTable) -> SemanticIds:
    """Codes of a catalogue with their quality figures."""
    figures = quality(tokenized, genre_matrix(items))
    name = type(tokenizer).__name__
    return SemanticIds(tokenized.codes, tokenized.sizes, name, catalogue_hash(items), figures)
