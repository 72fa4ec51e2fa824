"""Timeline: one vector per history item, a causal trunk, and a code decoder at every position.

One pass over a user supervises every position, and decoding never touches the history again. Sources: Lee et
al. 2022 (RQ-Transformer: a model over positions, a small one over depth); Rajput et al. 2023 (TIGER: semantic
ids of the next item); Kang & McAuley 2018 (SASRec: the causal trunk).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from genrec.errors import ConfigError
from genrec.generative.decoder import CodeDecoder, DecoderScorer
from genrec.generative.dense import DenseHead
from genrec.generative.items import ItemEmbedding
from genrec.generative.transformer import HistoryEncoder
from genrec.generative.tree import CodeTree


class Timeline(nn.Module):
    """The default generative model.

    Args:
        tree: tree of the semantic ids the model generates.
        features: item features float32 [N, F], or None; used only with `use_features`.
        embed_dim: width of item and code embeddings.
        width: width of the trunk and of the code decoder.
        heads: attention heads.
        layers: transformer blocks.
        max_length: longest history it reads; older items are cut.
        dropout: everywhere in trunk and decoder.
        use_ids: add an embedding per item to the input.
        use_features: add projected item features to the input.
        tree_softmax: normalise every level over the children that exist, in training as in search.
        label_smoothing: of the code loss.
        dense_weight: weight of the dense head's loss; 0 leaves the head out.
        code_weight: weight of the generation loss; 0 leaves the code decoder out.
        negatives: sampled negatives of the dense head; None is the full softmax.

    Raises:
        ConfigError: a value is of the wrong type or out of range, or features are not one row per item.
    """

    codes: Tensor
    path: Tensor

    def __init__(
        self,
        tree: CodeTree,
        features: Tensor | None = None,
        *,
        embed_dim: int = 128,
        width: int = 128,
        heads: int = 4,
        layers: int = 2,
        max_length: int = 200,
        dropout: float = 0.3,
        use_ids: bool = True,
        use_features: bool = True,
        tree_softmax: bool = True,
        label_smoothing: float = 0.0,
        dense_weight: float = 1.0,
        code_weight: float = 1.0,
        negatives: int | None = None,
    ) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {
            "embed_dim": embed_dim,
            "width": width,
            "heads": heads,
            "layers": layers,
            "max_length": max_length,
            "dropout": dropout,
            "use_ids": use_ids,
            "use_features": use_features,
            "tree_softmax": tree_softmax,
            "label_smoothing": label_smoothing,
            "dense_weight": dense_weight,
            "code_weight": code_weight,
            "negatives": negatives,
        }
        _check(self.settings)
        if features is not None and len(features) != tree.n_items:
            raise ConfigError(
                f"Timeline.features has {len(features)} rows, but the tree has {tree.n_items} items"
            )
        self.tree = tree
        codes = _codes_of(tree)
        self.items = ItemEmbedding(
            codes, tree.sizes, embed_dim, use_ids=use_ids, features=features if use_features else None
        )
        self.lift = nn.Identity() if embed_dim == width else nn.Linear(embed_dim, width)
        self.trunk = HistoryEncoder(width, heads, layers, max_length, dropout)
        self.decoder = CodeDecoder(tree.sizes, width, dropout) if code_weight > 0 else None
        self.dense = DenseHead(width, embed_dim, tree.n_items, negatives) if dense_weight > 0 else None
        self.register_buffer("codes", codes, persistent=False)
        self.register_buffer("path", tree.item_path.long(), persistent=False)

    def _apply(self, fn: Any, recurse: bool = True) -> Timeline:
        """Moving the model moves its tree."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.tree = self.tree.map(fn)
        return self

    @property
    def max_length(self) -> int:
        """T."""
        return int(self.settings["max_length"])

    @property
    def over_tree(self) -> bool:
        """Whether search normalises over existing children."""
        return bool(self.settings["tree_softmax"])

    def encode(self, histories: Tensor) -> Tensor:
        """Items int64 [B, T], padded at the end with -1 -> states [B, T + 1, D]; state t has read t items."""
        return self.trunk(self.lift(self.items(histories.clamp_min(0))))  # type: ignore[no-any-return]

    def last_state(self, histories: Tensor) -> Tensor:
        """State after the last item of each history [B, T] -> [B, D]."""
        length = (histories >= 0).sum(1)
        return self.encode(histories)[torch.arange(len(histories), device=histories.device), length]

    def forward(self, window: Tensor, first: Tensor) -> dict[str, Tensor]:
        """Losses of windows of histories; every item is the target of the state before it.

        Args:
            window: int64 [B, T], padded at the end with -1.
            first: int64 [B], position of the first target; earlier items are context only.

        Returns:
            `loss` and its parts, scalars: `code/<level>` and `dense`, each a mean over targets.
        """
        real = (window >= 0) & (torch.arange(window.shape[1], device=window.device) >= first[:, None])
        state = self.encode(window[:, :-1])[real]  # [M, D]
        target = window[real]  # [M]
        parts: dict[str, Tensor] = {}
        total = state.new_zeros(())
        if self.decoder is not None:
            tree = self.tree if self.over_tree else None
            levels = self.decoder.level_losses(
                state, self.codes[target], self.path[target], tree, self.settings["label_smoothing"]
            )
            parts |= {f"code/{level}": loss.detach() for level, loss in enumerate(levels)}
            total = total + self.settings["code_weight"] * torch.stack(levels).sum()
        if self.dense is not None:
            dense = self._dense_loss(self.dense, state, target)
            parts["dense"] = dense.detach()
            total = total + self.settings["dense_weight"] * dense
        return {"loss": total, **parts}

    def _dense_loss(self, head: DenseHead, state: Tensor, target: Tensor) -> Tensor:
        n = self.tree.n_items
        if head.negatives is None or head.negatives >= n:
            return head.loss(state, target, self.items(torch.arange(n, device=target.device)))
        drawn = torch.randint(n, (head.negatives,), device=target.device)
        return head.sampled_loss(state, target, self.items(target), drawn, self.items(drawn))

    def scorer(self, state: Tensor) -> DecoderScorer:
        """A search over the codes that follow each state [B, D]."""
        if self.decoder is None:
            raise ConfigError("this model cannot generate; train with Timeline.code_weight > 0")
        return self.decoder.scorer(state)

    @torch.no_grad()
    def item_vectors(self) -> Tensor:
        """Index vectors of the catalogue [N, D + 1] for embedding recall."""
        if self.dense is None:
            raise ConfigError("this model has no dense head; train with Timeline.dense_weight > 0")
        items = torch.arange(self.tree.n_items, device=self.codes.device)
        return self.dense.keys(self.items(items), items)

    @torch.no_grad()
    def query_vectors(self, state: Tensor) -> Tensor:
        """Search vectors [B, D + 1] whose dot product with `item_vectors` is the item's logit."""
        if self.dense is None:
            raise ConfigError("this model has no dense head; train with Timeline.dense_weight > 0")
        return self.dense.queries(state)


def _check(settings: dict[str, Any]) -> None:
    """Types too, because gin checks none."""
    for name in ("embed_dim", "width", "heads", "layers", "max_length", "negatives"):
        value = settings[name]
        if name == "negatives" and value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(f"Timeline.{name} must be a whole number of at least 1, got {value!r}")
    for name in ("use_ids", "use_features", "tree_softmax"):
        if not isinstance(settings[name], bool):
            raise ConfigError(f"Timeline.{name} must be True or False, got {settings[name]!r}")
    for name, limit in (
        ("dropout", 1.0),
        ("label_smoothing", 1.0),
        ("dense_weight", float("inf")),
        ("code_weight", float("inf")),
    ):
        value = settings[name]
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < limit:
            raise ConfigError(f"Timeline.{name} must be a number in [0, {limit:g}), got {value!r}")
    if settings["code_weight"] == settings["dense_weight"] == 0:
        raise ConfigError("Timeline.code_weight and Timeline.dense_weight are both 0: nothing to learn")


def _codes_of(tree: CodeTree) -> Tensor:
    """Codes int64 [N, L] back from the tree."""
    levels = [code[tree.item_path[:, level]] for level, code in enumerate(tree.child_code)]
    return torch.stack(levels, dim=1).long()
