"""Hybrid recall: generated candidates, re-scored by everything that has an opinion of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.generative.timeline import Timeline
from genrec.recall.base import ScoringRecaller
from genrec.recall.generative import GenerativeRecaller, ModelRecaller
from genrec.topk import topk


class Weights(NamedTuple):
    """How much each expert counts; a score is the weighted sum.

    Attributes:
        generated: of the log-probability of generation.
        dense: of the log-probability of the dense head.
        memory: of the memory's scores, in standard deviations over the catalogue.
    """

    generated: float
    dense: float
    memory: float


class Candidates(NamedTuple):
    """What there is to choose from.

    Attributes:
        items: int64 [B, C], by descending log-probability; -1 where there are fewer.
        scores: float32 [B, C, 3], in the order of `Weights`.
    """

    items: Tensor
    scores: Tensor


class HybridRecaller(ModelRecaller[Timeline]):
    """Generates candidates by beam search and orders them by generator, dense head, and a memory.

    The memory is a classic recaller over the same histories (EASE, item-KNN). It keeps what single pairs of items
    say, which a small network cannot, as the datastore of a nearest-neighbour language model does (Khandelwal et
    al. 2020). It proposes nothing: all candidates are generated.

    Args:
        model: trained with a dense head.
        weights: choose them on validation, see `best_weights`.
        memory: fitted together with this recaller; None is without.
        width: beam width and number of candidates; at least k is used.
        batch_size: users at once.
    """

    def __init__(
        self,
        model: Timeline,
        *,
        weights: Weights = Weights(0.5, 0.5, 0.0),  # noqa: B008 - immutable
        memory: ScoringRecaller | None = None,
        width: int = 100,
        batch_size: int = 128,
    ) -> None:
        super().__init__(model, batch_size=batch_size)
        if not all(weight >= 0 for weight in weights) or not sum(weights) > 0:
            raise ConfigError(
                f"HybridRecaller.weights must not be negative, nor all zero; got {tuple(weights)}"
            )
        if width < 1:
            raise ConfigError(f"HybridRecaller.width must be at least 1, got {width}")
        self.weights = Weights(*weights)
        self.memory = memory
        self.generator = GenerativeRecaller(model, width=width, batch_size=batch_size)

    def fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None = None) -> Self:
        """Take the histories and the item vectors, and fit the memory."""
        self.model.eval()
        self.generator.fit(train, items, features)
        self._vectors = self.model.item_vectors()  # [N, D + 1]
        if self.memory is not None:
            self.memory.fit(train, items, features)
        return super().fit(train, items, features)

    @torch.no_grad()
    def candidates(self, users: NDArray[np.int32], k: int, exclude_seen: bool) -> Candidates:
        """At least k candidates, where there are so many, and what each expert says."""
        n_candidates = min(max(self.generator.width, k), self.model.tree.n_items)
        window = self.window(users)
        state = self.model.last_state(window)
        scorer = self.model.scorer_of(state, window)
        items, generated = self.generator.search(scorer, users, n_candidates, exclude_seen)
        there = items.clamp_min(0)
        logits = self.model.item_logits(state, self._vectors, window)  # [B, N]
        experts = [generated, logits.log_softmax(-1).gather(1, there), torch.zeros_like(generated)]
        if self.memory is not None:
            remembered = torch.from_numpy(self.memory.scores(users)).to(logits.device)  # [B, N]
            scale = remembered.std(1, keepdim=True, correction=0).clamp_min(1e-9)
            experts[2] = (remembered / scale).gather(1, there)
        return Candidates(items, torch.stack(experts, dim=-1))

    def _block(
        self, users: NDArray[np.int32], k: int, exclude_seen: bool
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        found = self.candidates(users, k, exclude_seen)
        scores, items = ranked(found, self.weights, k)
        out_items = np.full((len(users), k), -1, dtype=np.int32)
        out_scores = np.full((len(users), k), -np.inf, dtype=np.float32)
        out_items[:, : items.shape[1]] = items.cpu().numpy()
        out_scores[:, : items.shape[1]] = scores.cpu().numpy()
        return out_items, out_scores


def ranked(found: Candidates, weights: Weights, k: int) -> tuple[Tensor, Tensor]:
    """The best of the candidates: (scores, items), each [B, min(k, C)]; ties keep the order of generation."""
    total = (found.scores.nan_to_num(neginf=-1e9) * found.scores.new_tensor(weights)).sum(-1)
    total = total.masked_fill(found.items < 0, -torch.inf)
    best, column = topk(total, min(k, total.shape[1]))
    return best, found.items.gather(1, column)


def grid(dense: Sequence[float], memory: Sequence[float]) -> list[Weights]:
    """Weights to try: shares of the dense head, the rest being the generator's, with each weight of the memory."""
    return [Weights(1 - share, share, extra) for share in dense for extra in memory]
