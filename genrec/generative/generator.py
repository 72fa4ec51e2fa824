"""From a decoder, which speaks codes, to the items of a tree: the losses of training and the scores of search.

Both are sums over levels of log-softmaxes over the same logits, so what search finds most probable is what training
made probable. The logits of a level are those of the decoder's codes, to which nodes may add what is known of the items
below them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.errors import ConfigError
from genrec.generative.base import Window
from genrec.generative.cold import ColdNodes
from genrec.generative.decoder import Beams, Decoder, Level
from genrec.generative.nodes import NodeKeys
from genrec.generative.parallel import ParallelDecoder
from genrec.generative.repeat import Repeat, taken_nodes
from genrec.generative.seen import NodeSets
from genrec.generative.softmax import child_log_probs, code_log_probs
from genrec.generative.tree import CodeTree


class Generator(nn.Module):
    """A decoder and what is added to it.

    Args:
        decoder: a `Decoder`.
        over_tree: normalise every level over the children that exist (tree-aware softmax); otherwise over all codes.
        smoothing: probability mass that the loss spreads over the valid codes.
        nodes: vectors of nodes, or None.
        repeat: the repeat term, or None.

    Raises:
        ConfigError: nodes add to logits that are not normalised over nodes.
    """

    def __init__(
        self,
        decoder: nn.Module,
        *,
        over_tree: bool = True,
        smoothing: float = 0.0,
        nodes: NodeKeys | None = None,
        repeat: Repeat | None = None,
    ) -> None:
        super().__init__()
        if not over_tree and (nodes is not None or repeat is not None):
            raise ConfigError("Timeline.node_keys and Timeline.repeat need Timeline.tree_softmax = True")
        self.decoder = decoder
        self.over_tree = over_tree
        self.smoothing = smoothing
        self.nodes = nodes
        self.repeat = repeat

    def losses(
        self,
        tree: CodeTree,
        state: Tensor,
        target: Tensor,
        taken: tuple[Tensor, Tensor] | None,
        vectors: Tensor | None,
        cold: ColdNodes | None = None,
    ) -> list[Tensor]:
        """Cross-entropy of each level, teacher-forced.

        Args:
            tree: of the ids.
            state: [M, D].
            target: items int64 [M].
            taken: pairs of `repeat.taken_before`; needed with a repeat term.
            vectors: item vectors [N, E]; needed with nodes.
            cold: nodes that are no negatives.
        """
        path = tree.item_path[target].long()  # [M, L]
        codes = torch.stack([code[path[:, level]] for level, code in enumerate(tree.child_code)], 1).long()
        keys = self.keys(tree, vectors)
        decoder: Decoder = self.decoder  # type: ignore[assignment]
        parents = torch.zeros_like(target)
        losses = []
        for level, (hidden, logits) in enumerate(decoder.teacher_forced(state, codes)):
            if self.nodes is not None and keys is not None and level > 0:
                row, bounds, child = tree.real_children(level, parents)
                added = self.nodes.logits(level, hidden, keys[level - 1], bounds, child)
                logits = _added(logits, row, tree.child_code[level][child].long(), added)
            if self.repeat is not None and taken is not None:
                logits = _added(logits, *self.repeat.on_path(tree, level, path, taken))
            losses.append(
                cross_entropy(
                    logits, codes[:, level], self._valid(tree, level, parents, cold), self.smoothing
                )
            )
            parents = path[:, level]
        return losses

    def _valid(self, tree: CodeTree, level: int, parents: Tensor, cold: ColdNodes | None) -> Tensor | None:
        if not self.over_tree:
            return None
        return (tree if cold is None else cold).valid_codes(level, parents)

    def keys(self, tree: CodeTree, vectors: Tensor | None) -> list[Tensor] | None:
        """Keys of the nodes of depth 2 .. L from the item vectors [N, E]; None without nodes."""
        return None if self.nodes is None or vectors is None else self.nodes.keys(tree, vectors)

    def scorer(
        self, tree: CodeTree, state: Tensor, window: Window, keys: list[Tensor] | None
    ) -> GeneratorScorer:
        """A search over the codes that follow each state [B, D].

        Args:
            tree: of the ids.
            state: [B, D].
            window: B histories, which the states have read.
            keys: of nodes, as `keys` gives them.
        """
        taken = None if self.repeat is None else taken_nodes(tree, window)
        decoder: Decoder = self.decoder  # type: ignore[assignment]
        rows = torch.arange(len(state), device=state.device)
        if isinstance(self.decoder, ParallelDecoder):
            return ParallelScorer(self, self.decoder, tree, state)
        return GeneratorScorer(self, tree, decoder.beams(state), rows, keys, taken)


class GeneratorScorer:
    """Beams of a `Generator`, a `NodeScorer`.

    Args:
        generator: trained.
        tree: of the ids.
        beams: of its decoder.
        rows: int64 [B], the row of `taken` that each request is.
        keys: of nodes of depth 2 .. L.
        taken: nodes above the items of each history.
    """

    def __init__(
        self,
        generator: Generator,
        tree: CodeTree,
        beams: Beams,
        rows: Tensor,
        keys: list[Tensor] | None,
        taken: NodeSets | None,
    ) -> None:
        self.generator, self.tree, self.beams = generator, tree, beams
        self.rows, self.keys, self.taken = rows, keys, taken

    def start(self) -> Tensor:
        """Log-probabilities of the root's children [B, 1, F_0]; forgets beams of a search before."""
        return self._children(0, torch.zeros_like(self.rows)[:, None], self.beams.start())

    def advance(self, level: int, parent: Tensor, node: Tensor) -> Tensor:
        """Continue beams to `node` [B, W] of depth `level`; log-probabilities of its children [B, W, F_level]."""
        code = self.tree.child_code[level - 1][node].long()
        return self._children(level, node, self.beams.advance(level, parent, code))

    def select(self, rows: Tensor) -> GeneratorScorer:
        """The same for requests `rows` [R], each with its beams so far."""
        beams = self.beams.select(rows)
        return GeneratorScorer(self.generator, self.tree, beams, self.rows[rows], self.keys, self.taken)

    def _children(self, level: int, node: Tensor, answer: Level) -> Tensor:
        bonus = self._bonus(level, node, answer.hidden)
        over_tree = self.generator.over_tree
        return child_log_probs(answer.logits, self.tree, level, node, over_tree, bonus)

    def _bonus(self, level: int, node: Tensor, hidden: Tensor) -> Tensor | None:
        """What nodes and repeats add to the logits of the children: [B, W, F_level]."""
        nodes, repeat = self.generator.nodes, self.generator.repeat
        with_nodes = nodes is not None and level > 0
        if not with_nodes and repeat is None:
            return None
        beam, bounds, child = self.tree.real_children(level, node.flatten())
        added = hidden.new_zeros(len(child))
        if nodes is not None and self.keys is not None and level > 0:
            added = added + nodes.logits(level, hidden.flatten(0, 1), self.keys[level - 1], bounds, child)
        if repeat is not None and self.taken is not None:
            rows = self.rows[beam // node.shape[1]]
            added = added + repeat.on_children(self.tree, level, child, rows, self.taken)
        bonus = hidden.new_zeros(*node.shape, self.tree.fanout[level])
        bonus[~self.tree.missing(level, node)] = added.to(bonus.dtype)
        return bonus


class ParallelScorer(GeneratorScorer):
    """Beams of a `Generator` with a `ParallelDecoder`, which scores items directly too."""

    def __init__(self, generator: Generator, decoder: ParallelDecoder, tree: CodeTree, state: Tensor) -> None:
        rows = torch.arange(len(state), device=state.device)
        super().__init__(generator, tree, decoder.beams(state), rows, None, None)
        self.decoder, self.state = decoder, state

    def item_log_probs(self) -> Tensor:
        """Log-probability of every item [B, N]."""
        return self.decoder.item_scores(self.state, self.tree.codes())


def cross_entropy(logits: Tensor, target: Tensor, valid: Tensor | None, smoothing: float) -> Tensor:
    """Mean cross-entropy over rows [M, K], over valid codes only; smoothing is uniform over those."""
    log_probs = code_log_probs(logits, valid)
    loss = F.nll_loss(log_probs, target)
    if smoothing == 0.0:
        return loss
    allowed = torch.ones_like(logits, dtype=torch.bool) if valid is None else valid
    spread = -log_probs.masked_fill(~allowed, 0.0).sum(-1) / allowed.sum(-1)
    return (1 - smoothing) * loss + smoothing * spread.mean()


def _added(logits: Tensor, row: Tensor, code: Tensor, value: Tensor) -> Tensor:
    """Logits [M, K] with `value` [S] added at (row, code)."""
    return logits.index_put((row, code), value.to(logits.dtype), accumulate=True)
