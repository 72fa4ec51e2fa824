"""TIGER: an encoder-decoder from the codes of a history to those of the next item (Rajput et al. 2023, §3.2, §4).

The encoder reads a token for the user and the codes of the history, oldest item first; the decoder writes the
codes of the next item, one by one. The vocabulary is every code of every level, then the users' buckets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.errors import ConfigError
from genrec.generative.base import Window
from genrec.generative.model import TreeModel
from genrec.generative.softmax import code_log_probs
from genrec.generative.t5 import T5
from genrec.generative.tiger_scorer import START, TigerScorer
from genrec.generative.tree import CodeTree


class Tiger(TreeModel):
    """The reference generative model; the defaults are the paper's sizes.

    Args:
        tree: tree of the semantic ids the model generates.
        features: not read; an item is its codes.
        embed_dim: width of embeddings and of the layers between attention.
        width: of attention, all heads together; 64 for each of 6 heads in the paper.
        heads: attention heads.
        layers: of the encoder, and as many of the decoder.
        feed_width: hidden width of the feed-forward layers.
        max_length: items of the history it reads; older ones are cut.
        dropout: everywhere but on attention weights.
        user_buckets: tokens that users are hashed to; 1 is the same for all.
        tree_softmax: normalise every level over the children that exist, in training as in search; the paper
            normalises over all codes.
        gated: feed-forward layers with a gated GELU in place of ReLU.

    Raises:
        ConfigError: a value is of the wrong type or out of range.
    """

    codes: Tensor
    path: Tensor
    tokens: Tensor

    def __init__(
        self,
        tree: CodeTree,
        features: Mapping[str, Tensor] | None = None,
        *,
        embed_dim: int = 128,
        width: int = 384,
        heads: int = 6,
        layers: int = 4,
        feed_width: int = 1024,
        max_length: int = 20,
        dropout: float = 0.1,
        user_buckets: int = 2000,
        tree_softmax: bool = True,
        gated: bool = False,
    ) -> None:
        settings: dict[str, Any] = {
            "embed_dim": embed_dim,
            "width": width,
            "heads": heads,
            "layers": layers,
            "feed_width": feed_width,
            "max_length": max_length,
            "dropout": dropout,
            "user_buckets": user_buckets,
            "tree_softmax": tree_softmax,
            "gated": gated,
        }
        _check(settings)
        super().__init__(tree, settings)
        self.offsets = [1 + sum(tree.sizes[:level]) for level in range(tree.n_levels + 1)]
        self.t5 = T5(
            self.offsets[-1] + user_buckets,
            width=embed_dim,
            heads=heads,
            head_width=width // heads,
            feed=feed_width,
            layers=layers,
            dropout=dropout,
            gated=gated,
        )
        codes = tree.codes()
        self.register_buffer("codes", codes, persistent=False)
        self.register_buffer("path", tree.item_path.long(), persistent=False)
        self.register_buffer("tokens", codes + torch.tensor(self.offsets[:-1]), persistent=False)

    @property
    def over_tree(self) -> bool:
        """Whether levels are normalised over existing children."""
        return bool(self.settings["tree_softmax"])

    def source(self, window: Window, row: Tensor, stop: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the encoder reads: a token for the user, and the codes of the items before `stop`.

        Args:
            window: histories [B, T].
            row: int64 [M], which of them each example is of.
            stop: int64 [M], position of the first item that is not read.

        Returns:
            (tokens int64 [M, 1 + n L], which of them are not padding, bool of this shape or None for all).
        """
        begin = (stop - self.max_length).clamp_min(0)
        place = begin[:, None] + torch.arange(int((stop - begin).max()), device=stop.device)  # [M, n]
        read = place < stop[:, None]
        items = window.items[row[:, None], torch.where(read, place, 0)]
        codes = torch.where(read[..., None], self.tokens[items], START).flatten(1)
        tokens = torch.cat([self._user_token(window.users[row])[:, None], codes], 1)
        if read.all():
            return tokens, None
        real = read.repeat_interleave(self.tree.n_levels, 1)
        return tokens, torch.cat([torch.ones_like(real[:, :1]), real], 1)

    def _user_token(self, users: Tensor) -> Tensor:
        """Knuth's multiplicative hash of 32 bits, whose upper ones choose the bucket."""
        spread = (users * 2_654_435_761) & 0xFFFFFFFF
        return self.offsets[-1] + ((spread * int(self.settings["user_buckets"])) >> 32)

    def forward(self, window: Window, first: Tensor) -> dict[str, Tensor]:
        """Losses; every item from `first` on is the target of an example of its own, whose history precedes it.

        Args:
            window: B histories of up to T items.
            first: int64 [B], position of the first target; earlier items are context only.

        Returns:
            `loss`, the sum of its parts `code/<level>`, scalars, each a mean over targets.
        """
        columns = torch.arange(window.items.shape[1], device=first.device)
        row, stop = torch.nonzero((window.items >= 0) & (columns >= first[:, None]), as_tuple=True)
        target = window.items[row, stop]  # [M]
        tokens, real = self.source(window, row, stop)
        before = F.pad(self.tokens[target, :-1], (1, 0), value=START)  # [M, L]
        hidden = self.t5.decode(before, self.t5.encode(tokens, real), real)  # [M, L, D]
        losses, node = [], torch.zeros_like(target)
        for level in range(self.tree.n_levels):
            valid = self._valid(level, node)
            logits = self.t5.logits(hidden[:, level], *self.offsets[level : level + 2])
            log_probs = code_log_probs(logits, valid)
            losses.append(F.nll_loss(log_probs, self.codes[target, level]))
            node = self.path[target, level]
        parts = {f"code/{level}": loss.detach() for level, loss in enumerate(losses)}
        return {"loss": torch.stack(losses).sum(), **parts}

    def _valid(self, level: int, node: Tensor) -> Tensor | None:
        if not self.over_tree:
            return None
        return (self.tree if self.cold is None else self.cold).valid_codes(level, node)

    def scorer(self, window: Window) -> TigerScorer:
        """A search over the codes that follow each history."""
        row = torch.arange(len(window.users), device=window.users.device)
        tokens, real = self.source(window, row, (window.items >= 0).sum(1))
        memory = self.t5.remember(self.t5.encode(tokens, real), real)
        return TigerScorer(self.t5, self.tree, self.offsets, memory, over_tree=self.over_tree)


def _check(settings: dict[str, Any]) -> None:
    """Types too, because gin checks none."""
    for name in ("embed_dim", "width", "heads", "layers", "feed_width", "max_length", "user_buckets"):
        value = settings[name]
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(f"Tiger.{name} must be a whole number of at least 1, got {value!r}")
    for name in ("tree_softmax", "gated"):
        if not isinstance(settings[name], bool):
            raise ConfigError(f"Tiger.{name} must be True or False, got {settings[name]!r}")
    dropout = settings["dropout"]
    if not isinstance(dropout, int | float) or isinstance(dropout, bool) or not 0 <= dropout < 1:
        raise ConfigError(f"Tiger.dropout must be a number in [0, 1), got {dropout!r}")
    if settings["width"] % settings["heads"]:
        raise ConfigError(
            f"Tiger.width {settings['width']} must be a multiple of Tiger.heads {settings['heads']}"
        )
