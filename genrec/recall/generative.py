"""Recall from a trained model: generated, by embedding, and hybrid, behind the one interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genrec.data.histories import Histories
from genrec.data.recommendations import Recommendations
from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.generative.search import beam_search, exact_search
from genrec.generative.seen import ClosedNodes
from genrec.generative.timeline import Timeline
from genrec.recall.base import check_k
from genrec.recall.vector_index import ExactIndex, VectorIndex, search_unseen
from genrec.topk import topk

EXACT_ENTRIES = 1 << 25  # logits that exact search may hold at once: 128 MB


class ModelRecaller(ABC):
    """Base of recallers over a trained `Timeline`: `fit` only takes the histories to recommend from.

    Args:
        model: trained; used in eval mode.
        batch_size: users at once; changes memory, and results by no more than rounding.
    """

    histories: Histories

    def __init__(self, model: Timeline, *, batch_size: int = 128) -> None:
        if batch_size < 1:
            raise ConfigError(f"{type(self).__name__}.batch_size must be at least 1, got {batch_size}")
        self.model = model
        self.batch_size = batch_size

    def fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None = None) -> Self:
        """Take the histories; the model is not trained further."""
        self.histories = Histories.of(train)
        return self

    @torch.no_grad()
    def recommend(self, users: NDArray[np.int32], k: int, *, exclude_seen: bool = True) -> Recommendations:
        """The k best items of each user; with `exclude_seen`, none of the user's history."""
        check_k(k)
        self.model.eval()
        items = np.full((len(users), k), -1, dtype=np.int32)
        scores = np.full((len(users), k), -np.inf, dtype=np.float32)
        for start in range(0, len(users), self.batch_size):
            rows = slice(start, start + self.batch_size)
            items[rows], scores[rows] = self._block(users[rows], k, exclude_seen)
        return Recommendations(np.asarray(users, np.int32), items, scores)

    def states(self, users: NDArray[np.int32]) -> Tensor:
        """State after each user's history [B, D]."""
        longest = int(min(self.histories.lengths[users].max(initial=1), self.model.max_length))
        window = torch.from_numpy(self.histories.padded(users, max(longest, 1)).astype(np.int64))
        return self.model.last_state(window.to(self.model.codes.device))

    def closed(self, users: NDArray[np.int32], exclude_seen: bool) -> ClosedNodes | None:
        """The nodes to close for each user's history."""
        if not exclude_seen:
            return None
        row, item = self.histories.rows(users)
        device = self.model.codes.device
        return ClosedNodes.of(
            self.model.tree,
            torch.from_numpy(row).to(device),
            torch.from_numpy(item.astype(np.int64)).to(device),
        )

    @abstractmethod
    def _block(
        self, users: NDArray[np.int32], k: int, exclude_seen: bool
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Items and scores [B, k] of one batch of users."""


class GenerativeRecaller(ModelRecaller):
    """Generates semantic ids by constrained beam search, or exactly.

    Args:
        model: trained.
        width: beam width; at least k is used.
        exact: score every item instead.
        batch_size: users at once; exact search takes fewer where the catalogue is large.

    Raises:
        ConfigError: out of range, or the model has no code decoder.
    """

    def __init__(
        self, model: Timeline, *, width: int = 50, exact: bool = False, batch_size: int = 128
    ) -> None:
        super().__init__(model, batch_size=batch_size)
        if width < 1:
            raise ConfigError(f"GenerativeRecaller.width must be at least 1, got {width}")
        if model.decoder is None:
            raise ConfigError("this model cannot generate; train with Timeline.code_weight > 0")
        if exact:
            tree = model.tree
            largest = max(tree.n_nodes(level) * size for level, size in enumerate(tree.sizes))
            self.batch_size = min(batch_size, max(1, EXACT_ENTRIES // largest))
        self.width = width
        self.exact = exact

    def candidates(
        self, users: NDArray[np.int32], k: int, exclude_seen: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """States [B, D], items int64 [B, k] and log-probabilities [B, k]; -1 and -inf where there are fewer."""
        state = self.states(users)
        scorer, tree, over_tree = self.model.scorer(state), self.model.tree, self.model.over_tree
        closed = self.closed(users, exclude_seen)
        if self.exact:
            return state, *exact_search(scorer, tree, k=k, closed=closed, over_tree=over_tree)
        width = max(self.width, k)
        return state, *beam_search(scorer, tree, width=width, k=k, closed=closed, over_tree=over_tree)

    def _block(
        self, users: NDArray[np.int32], k: int, exclude_seen: bool
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        _, items, scores = self.candidates(users, k, exclude_seen)
        return items.cpu().numpy().astype(np.int32), scores.cpu().numpy()


class EmbeddingRecaller(ModelRecaller):
    """Nearest items to the state by the model's dense head.

    Args:
        model: trained with a dense head.
        index: exact or approximate; exact if None.
        batch_size: users at once.
    """

    def __init__(self, model: Timeline, *, index: VectorIndex | None = None, batch_size: int = 128) -> None:
        super().__init__(model, batch_size=batch_size)
        self.index = index or ExactIndex()

    def fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None = None) -> Self:
        """Take the histories and index the item vectors."""
        self.model.eval()
        self.index.build(self.model.item_vectors().cpu().numpy())
        return super().fit(train, items, features)

    def _block(
        self, users: NDArray[np.int32], k: int, exclude_seen: bool
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        queries = self.model.query_vectors(self.states(users)).cpu().numpy()
        if exclude_seen:
            scores, items = search_unseen(self.index, queries, k, self.histories, users)
        else:
            scores, items = self.index.search(queries, k)
        return items, scores


class HybridRecaller(ModelRecaller):
    """Generated candidates, re-scored by both heads.

    The score is `(1 - weight) * generated + weight * dense`, both log-probabilities over the catalogue.

    Args:
        model: trained with a dense head.
        weight: of the dense head, in [0, 1]; choose it on validation.
        width: beam width and number of candidates; at least k is used.
        batch_size: users at once.
    """

    def __init__(
        self, model: Timeline, *, weight: float = 0.5, width: int = 100, batch_size: int = 128
    ) -> None:
        super().__init__(model, batch_size=batch_size)
        if not 0 <= weight <= 1:
            raise ConfigError(f"HybridRecaller.weight must be in [0, 1], got {weight}")
        if width < 1:
            raise ConfigError(f"HybridRecaller.width must be at least 1, got {width}")
        self.weight = weight
        self.generator = GenerativeRecaller(model, width=width, batch_size=batch_size)

    def fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None = None) -> Self:
        """Take the histories and the item vectors."""
        self.model.eval()
        self.generator.fit(train, items, features)
        self._vectors = self.model.item_vectors()  # [N, D + 1]
        return super().fit(train, items, features)

    def _block(
        self, users: NDArray[np.int32], k: int, exclude_seen: bool
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        n_candidates = min(max(self.generator.width, k), self.model.tree.n_items)
        state, items, generated = self.generator.candidates(users, n_candidates, exclude_seen)
        logits = self.model.query_vectors(state) @ self._vectors.T  # [B, N]
        dense = logits.log_softmax(-1).gather(1, items.clamp_min(0))
        both = (1 - self.weight) * generated + self.weight * dense
        both = both.masked_fill(items < 0, -torch.inf)
        kept = min(k, n_candidates)
        best, column = topk(both, kept)  # ties keep the order of generation
        out_items = np.full((len(users), k), -1, dtype=np.int32)
        out_scores = np.full((len(users), k), -np.inf, dtype=np.float32)
        out_items[:, :kept] = items.gather(1, column).cpu().numpy()
        out_scores[:, :kept] = best.cpu().numpy()
        return out_items, out_scores


def recallers(model: Timeline, train: Interactions, items: ItemTable, width: int) -> dict[str, ModelRecaller]:
    """The ways in which a model can recall, by method name, ready to recommend from `train`.

    Args:
        width: beam width of the generative one.
    """
    found: dict[str, ModelRecaller] = {}
    if model.decoder is not None:
        found["generative"] = GenerativeRecaller(model, width=width)
    if model.dense is not None:
        found["embedding"] = EmbeddingRecaller(model)
    return {name: recaller.fit(train, items) for name, recaller in found.items()}
