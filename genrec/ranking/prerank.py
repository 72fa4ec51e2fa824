"""Pre-ranking: a small network thins out the candidates of recall before the rank model reads them.

It sees three things of a candidate, the user's vector, the item's vector and the recall score, and scores all
candidates of all users at once. As in COLD (Wang et al. 2020) it is a network rather than an inner product, made cheap:
what the first layer makes of an item does not depend on the user, so it is computed once for the whole catalogue.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genrec.artifacts import Manifest, load_json, load_tensors, read_manifest, save_artifact
from genrec.errors import ArtifactError, ConfigError, DataError
from genrec.ranking.examples import Epochs
from genrec.ranking.layers import ACTIVATIONS, Mlp, check_layers
from genrec.ranking.losses import ListwiseSoftmax, Loss, Targets

KIND = "preranker"


class PreRank(nn.Module):
    """z + MLP(user, item, user ∘ item, z), where z is the recall score standardised within the user's list.

    Its last layer starts at zero: untrained, it keeps the order of recall.

    Args:
        width: D, of the users' and items' vectors.
        hidden: widths of the hidden layers, at least one.
        activation: one of `genrec.ranking.layers.ACTIVATIONS`.
        dropout: after every hidden layer but the first.
    """

    def __init__(
        self, width: int, *, hidden: Sequence[int] = (64, 32), activation: str = "relu", dropout: float = 0.0
    ) -> None:
        super().__init__()
        check_layers("PreRank", hidden, activation, dropout)
        if width < 1 or not hidden:
            raise ConfigError(
                f"PreRank needs a width and hidden layers, got width {width} and {list(hidden)}"
            )
        self.width, self.hidden, self.activation, self.dropout = width, tuple(hidden), activation, dropout
        self.of_user = nn.Linear(width, hidden[0])
        self.of_item = nn.Linear(width, hidden[0], bias=False)
        self.of_product = nn.Linear(width, hidden[0], bias=False)
        self.of_score = nn.Linear(1, hidden[0], bias=False)
        self.bend = ACTIVATIONS[activation](hidden[0])
        self.rest = Mlp(hidden[0], hidden[1:], activation=activation, dropout=dropout)
        last = self.rest[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, users: Tensor, items: Tensor, scores: Tensor, said: Tensor | None = None) -> Tensor:
        """Scores of every candidate.

        Args:
            users: vectors [U, D].
            items: vectors [U, C, D].
            scores: of recall [U, C], -inf where a list has no more candidates.
            said: `of_item(items)` [U, C, H] where it is known already.

        Returns:
            [U, C], -inf where `scores` is.
        """
        there = torch.isfinite(scores)
        z = standardised(scores, there)
        x = self.of_user(users)[:, None] + (self.of_item(items) if said is None else said)  # [U, C, H]
        x = x + self.of_product(users[:, None] * items) + self.of_score(z[..., None])
        shape = x.shape
        deep: Tensor = self.rest(self.bend(x.flatten(0, 1))).view(shape[:2])
        return (z + deep).masked_fill(~there, float("-inf"))

    @property
    def settings(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "width": self.width,
            "hidden": self.hidden,
            "activation": self.activation,
            "dropout": self.dropout,
        }


def standardised(scores: Tensor, there: Tensor) -> Tensor:
    """Scores [U, C] minus their list's mean, over its deviation; 0 where there is no candidate, or all are alike."""
    known = torch.where(there, scores, 0.0)
    n = there.sum(1, keepdim=True).clamp_min(1)
    apart = torch.where(there, known - known.sum(1, keepdim=True) / n, 0.0)
    deviation = (apart.square().sum(1, keepdim=True) / n).sqrt()
    return apart / torch.where(deviation > 1e-6, deviation, 1.0)


@dataclass(frozen=True)
class CandidateLists:
    """Candidates of recall, and which of them were good.

    Attributes:
        users: vectors float32 [U, D].
        items: vectors of the catalogue float32 [N, D].
        candidates: int [U, C], -1 where a list has no more.
        scores: of recall float32 [U, C].
        labels: float32 [U, C], above one half is good; None where they are only to be scored.
    """

    users: NDArray[np.float32]
    items: NDArray[np.float32]
    candidates: NDArray[np.integer]
    scores: NDArray[np.float32]
    labels: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        shapes = {self.candidates.shape, self.scores.shape}
        shapes |= set() if self.labels is None else {self.labels.shape}
        if len(shapes) != 1 or self.candidates.ndim != 2 or len(self.users) != len(self.candidates):
            raise DataError(
                f"candidates {self.candidates.shape}, their scores {self.scores.shape} and users {self.users.shape} do "
                "not fit; give one list per user"
            )


class PreRanker:
    """A trained pre-ranker with the catalogue's vectors: candidates in, scores out.

    Args:
        model: see `PreRank`.
        items: vectors of the catalogue float32 [N, D].
    """

    def __init__(self, model: PreRank, items: NDArray[np.float32]) -> None:
        if items.shape[1] != model.width:
            raise DataError(
                f"the pre-ranker reads vectors of width {model.width}, these items have {items.shape[1]}; give it "
                "those of the recaller that it was trained with"
            )
        self.model = model.eval()
        device = next(model.parameters()).device
        self.items = torch.from_numpy(np.ascontiguousarray(items)).to(device)
        with torch.no_grad():
            self.said: Tensor = model.of_item(self.items)  # [N, H]

    @torch.no_grad()
    def __call__(
        self,
        users: NDArray[np.float32],
        candidates: NDArray[np.integer],
        scores: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Scores float32 [U, C], higher is better.

        Args:
            users: vectors [U, D].
            candidates: int [U, C], -1 where a list has no more: its score is -inf.
            scores: of recall [U, C].
        """
        device = self.items.device
        rows = torch.from_numpy(candidates.astype(np.int64)).to(device)
        there = rows >= 0
        rows = rows.clamp_min(0)
        recalled = torch.from_numpy(scores).to(device).float().masked_fill(~there, float("-inf"))
        known = torch.from_numpy(np.ascontiguousarray(users)).to(device)
        found: NDArray[np.float32] = (
            self.model(known, self.items[rows], recalled, self.said[rows]).cpu().numpy()
        )
        return found


class PreRankTask:
    """Lists of candidates in batches, for the training loop.

    Args:
        model: to be trained.
        lists: with labels.
        size: lists in a batch.
        seed: of their order.
        judge: figures of the model on validation lists.
        loss: over the candidates of each list; a softmax if not given.
    """

    def __init__(
        self,
        model: PreRank,
        lists: CandidateLists,
        size: int,
        seed: int,
        judge: Callable[[], dict[str, float]],
        loss: Loss | None = None,
    ) -> None:
        if lists.labels is None:
            raise DataError("lists without labels cannot be learned from; say which candidates were good")
        self.model: nn.Module = model
        self.judge, self.criterion = judge, loss or ListwiseSoftmax()
        self.epochs = Epochs(len(lists.candidates), size, seed)
        self.users, self.items = torch.from_numpy(lists.users), torch.from_numpy(lists.items)
        self.candidates = torch.from_numpy(lists.candidates.astype(np.int64))
        self.scores, self.labels = torch.from_numpy(lists.scores), torch.from_numpy(lists.labels)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which every list occurs once."""
        return self.epochs.steps_per_epoch

    def loss(self, step: int) -> dict[str, Tensor]:
        """The losses of a step's lists."""
        rows, device = self.epochs.rows(step), next(self.model.parameters()).device
        candidates = self.candidates[rows]
        there = candidates >= 0
        recalled = self.scores[rows].float().masked_fill(~there, float("-inf"))
        vectors = self.users[rows], self.items[candidates.clamp_min(0)], recalled
        logits: Tensor = self.model(*(one.to(device) for one in vectors))
        lists = torch.arange(len(rows))[:, None].expand_as(candidates)
        targets = Targets(self.labels[rows][there], lists[there]).to(device)
        losses: dict[str, Tensor] = self.criterion(logits[there.to(device)], targets)
        return losses

    def after_step(self, step: int) -> None:
        """Nothing to do."""

    def validate(self) -> dict[str, float]:
        """What `judge` says."""
        return self.judge()


def save_prerank(
    folder: Path,
    model: PreRank,
    *,
    config: str,
    inputs: Mapping[str, Mapping[str, str]],
    metrics: Mapping[str, float],
    rerun: str,
) -> Manifest:
    """Write weights and settings.

    Args:
        inputs: what it learned from (`genrec.artifacts.input_ref`): dataset, split, and the recaller whose vectors and
            scores it reads.
    """
    return save_artifact(
        folder,
        kind=KIND,
        payload={
            "model.safetensors": {name: one.detach().cpu() for name, one in model.state_dict().items()},
            "settings.json": json.dumps(model.settings, indent=2),
        },
        config=config,
        inputs=inputs,
        metrics=metrics,
        rerun=rerun,
    )


def load_prerank(folder: Path) -> tuple[PreRank, Manifest]:
    """Read a pre-ranker, in eval mode, and what it was made from.

    Raises:
        ArtifactError: missing, damaged, or of another version of the code.
    """
    manifest = read_manifest(folder, KIND)
    try:
        model = PreRank(**load_json(folder, manifest, "settings.json"))
        model.load_state_dict(load_tensors(folder, manifest, "model.safetensors"))
    except (RuntimeError, TypeError) as error:
        raise ArtifactError(
            f"the pre-ranker in {folder} does not fit this version of the code; run `{manifest.rerun}` again"
        ) from error
    return model.eval(), manifest
