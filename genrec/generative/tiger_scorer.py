"""The search side of TIGER: beams of an encoder-decoder over code tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genrec.generative.softmax import child_log_probs
from genrec.generative.t5 import T5
from genrec.generative.t5_layers import Memory, Past
from genrec.generative.tree import CodeTree

START = 0  # the token before the first code, and the one that fills up short histories
BEAMS = 4096  # decoded at once; more only cost memory


class TigerScorer:
    """Beams of a `Tiger`: the history is encoded once per request; a beam keeps keys and values of its own codes.

    With the tree-aware softmax a beam with one item left has nothing more to decide, and is not decoded further.

    Args:
        t5: trained.
        tree: of the ids it generates.
        offsets: the first token of each level, and behind the last.
        memory: of the encoded histories.
        rows: int64 [R], the history of each request; None where they are those of the memory.
        over_tree: normalise every level over the children that exist; otherwise over all codes.
    """

    def __init__(
        self,
        t5: T5,
        tree: CodeTree,
        offsets: Sequence[int],
        memory: Memory,
        rows: Tensor | None = None,
        *,
        over_tree: bool,
    ) -> None:
        self.t5, self.tree, self.offsets, self.memory = t5, tree, offsets, memory
        self.rows, self.over_tree = rows, over_tree

    def start(self) -> Tensor:
        """Log-probabilities of the root's children [R, 1, F_0]; forgets beams of a search before."""
        requests = len(self.memory.keys[0] if self.rows is None else self.rows)
        root = torch.zeros(requests, 1, dtype=torch.int64, device=self.memory.keys[0].device)
        self.past = self.t5.no_past(len(root))
        self.place = root  # [R, W], of each beam among those in `past`
        return self._step(0, root + START, root, root)

    def advance(self, level: int, parent: Tensor, node: Tensor) -> Tensor:
        """Continue beams to `node` [R, W] of depth `level`; log-probabilities of its children [R, W, F_level]."""
        kept, place = self._undecided(level, node)
        parent, chosen = self.place.gather(1, parent).gather(1, kept), node.gather(1, kept)
        token = self.tree.child_code[level - 1][chosen].long() + self.offsets[level - 1]
        found = self._step(level, token, parent, chosen)  # [R, W', F]
        self.place = place
        everything = found.new_zeros(*node.shape, found.shape[2])  # the only child of a node is certain
        return everything.scatter_(1, kept[..., None].expand_as(found), found)

    def _undecided(self, level: int, node: Tensor) -> tuple[Tensor, Tensor]:
        """Which beams to decode: (columns int64 [R, W'], W' at least 1, and the place of every beam in them [R, W])."""
        everyone = torch.arange(node.shape[1], device=node.device).expand_as(node)
        if not self.over_tree:
            return everyone, everyone
        several = self.tree.leaf_count[level - 1][node] > 1
        count = max(1, int(several.sum(1).max()))
        order = several.int().argsort(dim=1, descending=True, stable=True)
        return order[:, :count], torch.empty_like(order).scatter_(1, order, everyone).clamp_max(count - 1)

    def _step(self, level: int, token: Tensor, parent: Tensor, node: Tensor) -> Tensor:
        """Decode one more token of beams [R, W], some requests at a time."""
        scores, pasts = [], []
        at_once = max(1, BEAMS // token.shape[1])
        for begin in range(0, max(1, len(token)), at_once):
            some = slice(begin, begin + at_once)
            past = [layer.of_requests(some) for layer in self.past]
            rows = some if self.rows is None else self.rows[some]
            hidden, past = self.t5.step(token[some], past, parent[some], self.memory, rows)
            logits = self.t5.logits(hidden, *self.offsets[level : level + 2])
            scores.append(child_log_probs(logits, self.tree, level, node[some], self.over_tree))
            pasts.append(past)
        self.past = [Past.joined(parts) for parts in zip(*pasts, strict=True)]
        return torch.cat(scores)

    def select(self, rows: Tensor) -> TigerScorer:
        """The same for some of the requests, int64 [R'], each with its beams so far."""
        histories = rows if self.rows is None else self.rows[rows]
        chosen = TigerScorer(
            self.t5, self.tree, self.offsets, self.memory, histories, over_tree=self.over_tree
        )
        chosen.past = [layer.of_requests(rows) for layer in self.past]
        chosen.place = self.place[rows]
        return chosen
