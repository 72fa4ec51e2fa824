"""Timeline: one vector per history item, a causal trunk, and a code decoder at every position.

One pass over a user supervises every position, and decoding never touches the history again. Sources: Lee et
al. 2022 (RQ-Transformer: a model over positions, a small one over depth); Rajput et al. 2023 (TIGER: semantic
ids of the next item); Kang & McAuley 2018 (SASRec: the causal trunk).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from genrec.errors import ConfigError
from genrec.generative.attention_decoder import AttentionDecoder
from genrec.generative.base import Window
from genrec.generative.decoder import CodeDecoder
from genrec.generative.dense import DenseHead, Pairs
from genrec.generative.generator import Generator, GeneratorScorer
from genrec.generative.items import ItemEmbedding
from genrec.generative.model import TreeModel
from genrec.generative.nodes import NodeKeys
from genrec.generative.parallel import ParallelDecoder
from genrec.generative.repeat import Repeat, taken, taken_before
from genrec.generative.transformer import HistoryEncoder
from genrec.generative.tree import CodeTree

DECODERS: Mapping[str, Callable[[Sequence[int], int, float], nn.Module]] = {
    "mlp": CodeDecoder,
    "attention": AttentionDecoder,
    "parallel": ParallelDecoder,
}


class Timeline(TreeModel):
    """The default generative model.

    Args:
        tree: tree of the semantic ids the model generates.
        features: for each modality, standardised item features float32 [N, F]; used as `inputs` says.
        embed_dim: E, width of item and code embeddings.
        width: D, width of the trunk and of the code decoder.
        heads: attention heads.
        layers: transformer blocks.
        max_length: longest history it reads; older items are cut.
        dropout: everywhere in trunk and decoder.
        inputs: what an item's vector is made of: `codes`, `ids`, `features` or single modalities (`text`, `image`, ..).
        positions: `absolute`, `rotary` or `alibi`.
        time_intervals: attend by the time between events too.
        decoder: `mlp`, `attention`, or `parallel` (all codes at once, for long ids).
        tree_softmax: normalise every level over the children that exist, in training as in search.
        node_keys: give every node of the tree a vector, made of the items below it.
        repeat: learn how much likelier or less likely an item is for having been taken before.
        label_smoothing: of the code loss.
        dense_weight: weight of the dense head's loss; 0 leaves the head out.
        code_weight: weight of the generation loss; 0 leaves the code decoder out.
        negatives: sampled negatives of the dense head; None is the full softmax.

    Raises:
        ConfigError: a value is of the wrong type or out of range, or features are not one row per item.
    """

    def __init__(
        self,
        tree: CodeTree,
        features: Mapping[str, Tensor] | None = None,
        *,
        embed_dim: int = 128,
        width: int = 128,
        heads: int = 4,
        layers: int = 2,
        max_length: int = 200,
        dropout: float = 0.3,
        inputs: Sequence[str] = ("codes", "ids", "features"),
        positions: str = "absolute",
        time_intervals: bool = False,
        decoder: str = "mlp",
        tree_softmax: bool = True,
        node_keys: bool = True,
        repeat: bool = True,
        label_smoothing: float = 0.0,
        dense_weight: float = 1.0,
        code_weight: float = 1.0,
        negatives: int | None = None,
    ) -> None:
        settings: dict[str, Any] = {
            "embed_dim": embed_dim,
            "width": width,
            "heads": heads,
            "layers": layers,
            "max_length": max_length,
            "dropout": dropout,
            "inputs": inputs if isinstance(inputs, str) else list(inputs),
            "positions": positions,
            "time_intervals": time_intervals,
            "decoder": decoder,
            "tree_softmax": tree_softmax,
            "node_keys": node_keys,
            "repeat": repeat,
            "label_smoothing": label_smoothing,
            "dense_weight": dense_weight,
            "code_weight": code_weight,
            "negatives": negatives,
        }
        _check(settings)
        super().__init__(tree, settings)
        features = features or {}
        for name, vectors in features.items():
            if len(vectors) != tree.n_items:
                raise ConfigError(
                    f"Timeline.features[{name!r}] has {len(vectors)} rows, but the tree has "
                    f"{tree.n_items} items"
                )
        self.items = ItemEmbedding(tree.codes(), tree.sizes, embed_dim, inputs=inputs, features=features)
        self.lift = nn.Identity() if embed_dim == width else nn.Linear(embed_dim, width)
        self.trunk = HistoryEncoder(width, heads, layers, max_length, dropout, positions, time_intervals)
        self._fixed_keys: list[Tensor] | None = None
        self.generator = self._generator() if code_weight > 0 else None
        self.dense = (
            DenseHead(width, embed_dim, tree.n_items, negatives, repeat) if dense_weight > 0 else None
        )

    def _generator(self) -> Generator:
        chosen = self.settings
        distinct = (
            not self.tree.shared_ids
        )  # what items with the same id share is all a generator may know of them
        width, sizes = chosen["width"], self.tree.sizes
        return Generator(
            DECODERS[chosen["decoder"]](sizes, width, chosen["dropout"]),
            over_tree=chosen["tree_softmax"],
            smoothing=chosen["label_smoothing"],
            nodes=NodeKeys(self.tree, chosen["embed_dim"], width)
            if chosen["node_keys"] and distinct
            else None,
            repeat=Repeat(len(sizes)) if chosen["repeat"] and distinct else None,
        )

    @property
    def scores_items(self) -> bool:
        """Whether scoring every item takes no walk of the tree, so that exhaustive search is the search to use."""
        return str(self.settings["decoder"]) == "parallel"

    def encode(self, window: Window) -> Tensor:
        """B histories of up to T items -> states [B, T + 1, D]; state t has read t items."""
        x = self.lift(self.items(window.items.clamp_min(0)))
        return self.trunk(x, window.times)  # type: ignore[no-any-return]

    def last_state(self, window: Window) -> Tensor:
        """State after the last item of each history -> [B, D]."""
        length = (window.items >= 0).sum(1)
        return self.encode(window)[torch.arange(len(length), device=length.device), length]

    def all_items(self) -> Tensor:
        """Item vectors of the catalogue [N, E]."""
        return self.items(torch.arange(self.tree.n_items, device=self.tree.leaf_item.device))  # type: ignore[no-any-return]

    def forward(self, window: Window, first: Tensor) -> dict[str, Tensor]:
        """Losses of windows of histories; every item is the target of the state before it.

        Args:
            window: B histories of up to T items.
            first: int64 [B], position of the first target; earlier items are context only.

        Returns:
            `loss` and its parts, scalars: `code/<level>` and `dense`, each a mean over targets.
        """
        items = window.items
        real = (items >= 0) & (torch.arange(items.shape[1], device=items.device) >= first[:, None])
        state = self.encode(_without_last(window))[real]  # [M, D]
        target = items[real]  # [M]
        before = taken_before(items, real) if self.settings["repeat"] else None
        vectors = self.all_items() if self._needs_all() else None
        parts: dict[str, Tensor] = {}
        total = state.new_zeros(())
        if self.generator is not None:
            levels = self.generator.losses(self.tree, state, target, before, vectors, self.cold)
            parts |= {f"code/{level}": loss.detach() for level, loss in enumerate(levels)}
            total = total + self.settings["code_weight"] * torch.stack(levels).sum()
        if self.dense is not None:
            dense = self._dense_loss(self.dense, state, target, before, vectors)
            parts["dense"] = dense.detach()
            total = total + self.settings["dense_weight"] * dense
        return {"loss": total, **parts}

    def _needs_all(self) -> bool:
        """Whether a loss reads the vectors of the whole catalogue."""
        by_node = self.generator is not None and self.generator.nodes is not None
        return by_node or (self.dense is not None and self.dense.negatives is None)

    def _dense_loss(
        self, head: DenseHead, state: Tensor, target: Tensor, before: Pairs | None, vectors: Tensor | None
    ) -> Tensor:
        if head.negatives is None:
            out = None if self.cold is None else self.cold.items
            return head.loss(state, target, self.all_items() if vectors is None else vectors, before, out)
        n_items = self.tree.n_items if self.cold is None else len(self.cold.warm)
        drawn = torch.randint(n_items, (head.negatives,), device=target.device).sort().values
        drawn = drawn if self.cold is None else self.cold.warm[drawn]
        own, others = self.items(target), self.items(drawn)
        return head.sampled_loss(state, target, own, drawn, others, before, n_items)

    def scorer(self, window: Window) -> GeneratorScorer:
        """A search over the codes that follow each history."""
        return self.scorer_of(self.last_state(window), window)

    def scorer_of(self, state: Tensor, window: Window) -> GeneratorScorer:
        """The same from the states [B, D] after the histories of a window."""
        if self.generator is None:
            raise ConfigError("this model cannot generate; train with Timeline.code_weight > 0")
        keys = self._node_keys() if self._fixed_keys is None else self._fixed_keys
        return self.generator.scorer(self.tree, state, window, keys)

    def _node_keys(self) -> list[Tensor] | None:
        if self.generator is None or self.generator.nodes is None:
            return None
        return self.generator.keys(self.tree, self.all_items())

    @contextmanager
    def fixed(self) -> Iterator[None]:
        """Within, weights stay as they are, and keys of nodes are computed once."""
        before, self._fixed_keys = self._fixed_keys, self._node_keys()
        try:
            yield
        finally:
            self._fixed_keys = before

    @torch.no_grad()
    def item_vectors(self) -> Tensor:
        """Index vectors of the catalogue [N, D + 1] for embedding recall."""
        items = torch.arange(self.tree.n_items, device=self.tree.leaf_item.device)
        return self._dense_head().keys(self.items(items), items)

    @torch.no_grad()
    def query_vectors(self, state: Tensor) -> Tensor:
        """Search vectors [B, D + 1] whose dot product with `item_vectors` is the item's logit."""
        return self._dense_head().queries(state)

    @torch.no_grad()
    def item_logits(self, state: Tensor, vectors: Tensor, window: Window) -> Tensor:
        """Logits [B, N] from states [B, D], `item_vectors` [N, D + 1] and the histories that the states have read."""
        return self._dense_head().logits(state, vectors, taken(window, self.tree.n_items))

    @property
    def repeat_logit(self) -> float:
        """What `item_logits` adds to the dot products for items of the history."""
        weight = self._dense_head().repeat
        return 0.0 if weight is None else float(weight())

    def _dense_head(self) -> DenseHead:
        if self.dense is None:
            raise ConfigError("this model has no dense head; train with Timeline.dense_weight > 0")
        return self.dense


def _without_last(window: Window) -> Window:
    """One column less: nothing follows the last item, so no target needs it read."""
    times = None if window.times is None else window.times[:, :-1]
    return replace(window, items=window.items[:, :-1], times=times)


def _check(settings: Mapping[str, Any]) -> None:
    """Types too, because gin checks none."""
    for name in ("embed_dim", "width", "heads", "layers", "max_length", "negatives"):
        value = settings[name]
        if name == "negatives" and value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(f"Timeline.{name} must be a whole number of at least 1, got {value!r}")
    for name in ("time_intervals", "tree_softmax", "node_keys", "repeat"):
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
    if settings["decoder"] == "parallel" and settings["tree_softmax"]:
        raise ConfigError(
            "Timeline.decoder 'parallel' needs Timeline.tree_softmax = False: its codes are independent"
        )
    if settings["decoder"] not in DECODERS:
        raise ConfigError(
            f"Timeline.decoder must be one of {', '.join(DECODERS)}, got {settings['decoder']!r}"
        )
