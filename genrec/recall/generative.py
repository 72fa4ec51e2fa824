"""Recall from a trained model: generated, by embedding, and hybrid, behind the one interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import Generic, Literal, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genrec.data.histories import Histories
from genrec.data.recommendations import Recommendations
from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.generative.base import GenerativeModel, NodeScorer, Window
from genrec.generative.batches import newest
from genrec.generative.bound import branch_and_bound
from genrec.generative.compiled import CompiledScorer, Steps
from genrec.generative.repeat import taken
from genrec.generative.search import beam_search, exact_search
from genrec.generative.seen import ClosedNodes, NodeFilter, NodeSets
from genrec.generative.subsets import OpenNodes
from genrec.generative.timeline import Timeline
from genrec.recall.base import Recaller, check_k
from genrec.recall.vector_index import ExactIndex, Found, VectorIndex, search_unseen, search_without
from genrec.topk import topk

EXHAUSTIVE_ENTRIES = 1 << 25  # logits that exhaustive search may hold at once: 128 MB
EXACT = {"branch-and-bound": branch_and_bound, "exhaustive": exact_search}
M = TypeVar("M", bound=GenerativeModel)


class ModelRecaller(ABC, Generic[M]):
    """Base of recallers over a trained model: `fit` only takes the histories to recommend from.

    Args:
        model: trained; used in eval mode.
        batch_size: users at once; changes memory, and results by no more than rounding.
    """

    histories: Histories

    def __init__(self, model: M, *, batch_size: int = 128) -> None:
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
        order = np.argsort(
            self.histories.lengths[users], kind="stable"
        )  # users of one batch are padded alike
        with self.model.fixed():
            for start in range(0, len(users), self.batch_size):
                rows = order[start : start + self.batch_size]
                items[rows], scores[rows] = self._block(users[rows], k, exclude_seen)
        return Recommendations(np.asarray(users, np.int32), items, scores)

    def window(self, users: NDArray[np.int32]) -> Window:
        """What the model reads of each user's history."""
        return newest(self.histories, users, self.model.max_length).to(self.model.tree.leaf_item.device)

    @abstractmethod
    def _block(
        self, users: NDArray[np.int32], k: int, exclude_seen: bool
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Items and scores [B, k] of one batch of users."""


class GenerativeRecaller(ModelRecaller[GenerativeModel]):
    """Generates semantic ids by constrained beam search, or exactly.

    Args:
        model: trained.
        width: beam width; at least k is used.
        search: `beam`, or the exact `branch-and-bound`, or `exhaustive`, which scores every item; None is `beam`, but
            `exhaustive` for a model with a parallel decoder, whose items cost a sum each.
        compile: run the model through `torch.compile`, which takes a minute at the start.
        batch_size: users at once; exhaustive search takes fewer where the catalogue is large.

    Raises:
        ConfigError: out of range.
    """

    def __init__(
        self,
        model: GenerativeModel,
        *,
        width: int = 50,
        search: Literal["beam", "branch-and-bound", "exhaustive"] | None = None,
        compile: bool = False,
        batch_size: int = 128,
    ) -> None:
        super().__init__(model, batch_size=batch_size)
        if width < 1:
            raise ConfigError(f"GenerativeRecaller.width must be at least 1, got {width}")
        direct = isinstance(model, Timeline) and model.scores_items
        if search is None:
            search = "exhaustive" if direct else "beam"
        if search not in EXACT and search != "beam":
            raise ConfigError(
                f"GenerativeRecaller.search must be one of {', '.join(('beam', *EXACT))}, got {search!r}"
            )
        if search == "exhaustive" and not direct:
            tree = model.tree
            largest = max(tree.n_nodes(level) * size for level, size in enumerate(tree.sizes))
            self.batch_size = min(batch_size, max(1, EXHAUSTIVE_ENTRIES // largest))
        self.width = width
        self.algorithm = search
        self.steps = Steps.compiled() if compile else None
        self.subsets: NodeSets | None = None
        self.which: NDArray[np.int64] | None = None

    def within(
        self, subsets: Sequence[NDArray[np.integer]], which: NDArray[np.integer] | None = None
    ) -> GenerativeRecaller:
        """The same recaller over parts of the catalogue, such as what is in stock or one genre.

        Args:
            subsets: items of each.
            which: int [n_users], the subset of each user; may be left out if there is but one.
        """
        n_items = self.model.tree.n_items
        items = np.concatenate([np.zeros(0, dtype=np.int64), *subsets])
        if not len(subsets) or items.min(initial=0) < 0 or items.max(initial=0) >= n_items:
            raise ConfigError(
                f"GenerativeRecaller.within: subsets must be lists of items from 0 to {n_items - 1}, and at least one"
            )
        if which is None and len(subsets) > 1:
            raise ConfigError(
                f"GenerativeRecaller.within: say which of the {len(subsets)} subsets each user has"
            )
        if which is not None and (np.min(which) < 0 or np.max(which) >= len(subsets)):
            raise ConfigError(f"GenerativeRecaller.within: which must be from 0 to {len(subsets) - 1}")
        group = np.repeat(np.arange(len(subsets)), [len(one) for one in subsets])
        chosen = copy(self)
        chosen.subsets = NodeSets.of(self.model.tree, self._tensor(group), self._tensor(items))
        chosen.which = None if which is None else np.asarray(which, dtype=np.int64)
        return chosen

    def search(
        self, scorer: NodeScorer, users: NDArray[np.int32], k: int, exclude_seen: bool
    ) -> tuple[Tensor, Tensor]:
        """Items int64 [B, k] and log-probabilities [B, k]; -1 and -inf where there are fewer."""
        if self.steps is not None:
            scorer = CompiledScorer(scorer, self.steps)
        tree, closed = self.model.tree, self._closed(users, exclude_seen)
        if self.algorithm in EXACT:
            return EXACT[self.algorithm](scorer, tree, k=k, closed=closed)
        return beam_search(scorer, tree, width=max(self.width, k), k=k, closed=closed)

    def _closed(self, users: NDArray[np.int32], exclude_seen: bool) -> NodeFilter | None:
        """What may not be recommended to each user."""
        if self.subsets is None and not exclude_seen:
            return None
        row, item = self.histories.rows(users if exclude_seen else users[:0])
        if self.subsets is None:
            return ClosedNodes.of(self.model.tree, self._tensor(row), self._tensor(item))
        which = np.zeros(len(users), dtype=np.int64) if self.which is None else self.which[users]
        return OpenNodes.of(self.subsets, self._tensor(which), self._tensor(row), self._tensor(item))

    def _tensor(self, array: NDArray[np.integer]) -> Tensor:
        return torch.from_numpy(array.astype(np.int64)).to(self.model.tree.leaf_item.device)

    def _block(
        self, users: NDArray[np.int32], k: int, exclude_seen: bool
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        items, scores = self.search(self.model.scorer(self.window(users)), users, k, exclude_seen)
        return items.cpu().numpy().astype(np.int32), scores.cpu().numpy()


class EmbeddingRecaller(ModelRecaller[Timeline]):
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
        self._vectors = self.model.item_vectors().cpu().numpy()
        self.index.build(self._vectors)
        return super().fit(train, items, features)

    def _block(
        self, users: NDArray[np.int32], k: int, exclude_seen: bool
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        window = self.window(users)
        queries = self.model.query_vectors(self.model.last_state(window)).cpu().numpy()
        if exclude_seen:
            scores, items = search_unseen(self.index, queries, k, self.histories, users)
        elif self.model.repeat_logit == 0:
            scores, items = self.index.search(queries, k)
        else:
            row, item = (part.cpu().numpy() for part in taken(window, self.model.tree.n_items))
            unseen = search_without(self.index, queries, k, row, item)
            # no index knows what a repeat is worth, so items of the history are scored one by one
            logit = np.einsum("md,md->m", queries[row].astype(np.float64), self._vectors[item])
            scores, items = _joined(unseen, row, item, logit + self.model.repeat_logit)
        return items, scores


def _joined(
    best: Found, row: NDArray[np.int64], item: NDArray[np.int64], score: NDArray[np.float64]
) -> Found:
    """Lists [B, k] and further scored items of their rows (ascending), merged to the k best."""
    scores, items = best
    within = np.arange(len(row)) - np.searchsorted(row, row)
    shape = (len(scores), int(within.max(initial=-1)) + 1)
    more_scores, more_items = np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int32)
    more_scores[row, within], more_items[row, within] = score, item
    all_scores, all_items = np.hstack([scores, more_scores]), np.hstack([items, more_items])
    kept, columns = topk(torch.from_numpy(all_scores), scores.shape[1])
    return kept.numpy(), np.take_along_axis(all_items, columns.numpy(), 1)


def recallers(
    model: GenerativeModel, train: Interactions, items: ItemTable, width: int
) -> dict[str, Recaller]:
    """The ways in which a model can recall, by method name, ready to recommend from `train`.

    Args:
        width: beam width of the generative one.
    """
    found: dict[str, Recaller] = {}
    if not isinstance(model, Timeline) or model.generator is not None:
        found["generative"] = GenerativeRecaller(model, width=width)
    if isinstance(model, Timeline) and model.dense is not None:
        found["embedding"] = EmbeddingRecaller(model)
    return {name: recaller.fit(train, items, None) for name, recaller in found.items()}
