"""Exact search without scoring everything: branch and bound over the tree of valid ids.

The log-probability of a prefix bounds those of all items below it (Land & Doig 1960, with the beam's k-th item as
the incumbent), so a prefix that falls below an item list already found is never expanded. What is left is ragged:
tens of prefixes for a sure model, all for a model that knows nothing. It is processed as rows of equal length, of
which a request may have several, in blocks of bounded size, depth first: no distribution needs much memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genrec.generative.base import NodeScorer
from genrec.generative.search import (
    beam_search,
    best_children,
    check_positive,
    child_scores,
    resolve,
    tie_rank,
)
from genrec.generative.seen import NodeFilter
from genrec.generative.tree import CodeTree
from genrec.topk import topk

INCUMBENT = 16  # least beams of the search for the first k items; more cost more than they save
COLUMNS = 8  # prefixes per row; the last row of a request is padded
BLOCK = 1 << 21  # codes scored at once: 8 MB of logits, and some 100 MB of what is still to be looked at
SLACK = 256  # units of rounding by which a bound may be too low: sums of other batches are rounded otherwise


@torch.no_grad()
def branch_and_bound(
    scorer: NodeScorer, tree: CodeTree, *, k: int, closed: NodeFilter | None = None
) -> tuple[Tensor, Tensor]:
    """The k most probable items, what exhaustive search finds.

    Returns:
        (items int64 [B, k], log-probabilities [B, k]); -1 and -inf where fewer than k items are open.
    """
    check_positive(k=k)
    _, found = beam_search(scorer, tree, width=max(k, INCUMBENT), k=k, closed=closed)
    log_probs = scorer.start()
    rows = torch.arange(len(found), device=found.device)
    best = _Best(
        tree=tree,
        closed=closed,
        score=torch.full_like(found, -torch.inf),
        leaf=torch.zeros_like(found, dtype=torch.int64),
        floor=_lowered(found[:, -1]),
    )
    root = torch.zeros_like(rows)[:, None]
    best.descend(scorer, 0, rows, root, log_probs.new_zeros(len(rows), 1), log_probs)
    return resolve(tree, best.leaf, best.score, k)


def _lowered(score: Tensor) -> Tensor:
    """Scores that rounding cannot lift an equal score below."""
    return score - SLACK * torch.finfo(score.dtype).eps * (1 + score.abs().nan_to_num(posinf=0.0))


@dataclass
class _Best:
    """The best leaves so far and what a prefix must reach.

    Attributes:
        score: [B, k], descending.
        leaf: int64 [B, k].
        floor: [B], below which nothing can be among the k best.
    """

    tree: CodeTree
    closed: NodeFilter | None
    score: Tensor
    leaf: Tensor
    floor: Tensor

    def descend(
        self, scorer: NodeScorer, level: int, rows: Tensor, nodes: Tensor, score: Tensor, log_probs: Tensor
    ) -> None:
        """Look at everything below nodes that can still be among the best.

        Args:
            scorer: whose beams are at `nodes`.
            level: depth of the nodes.
            rows: int64 [R], ascending, the request of each row of nodes.
            nodes: int64 [R, W].
            score: [R, W]; -inf where there is no node.
            log_probs: [R, W, F], of the nodes' children given them.
        """
        total = child_scores(self.tree, level, rows, nodes, score, log_probs, self.closed)
        if level == self.tree.n_levels - 1:
            self._take(rows, nodes, total)
            return
        row, beam, child = torch.nonzero(total >= self._finite_floor(rows)[:, None, None], as_tuple=True)
        source, place = _packed(row, len(rows))  # [G], [M]
        first, _ = self.tree.child_range(level, nodes)
        packed = len(source) * COLUMNS
        parent = beam.new_zeros(packed).index_put_((place,), beam).view(-1, COLUMNS)
        node = beam.new_zeros(packed).index_put_((place,), first[row, beam] + child).view(-1, COLUMNS)
        reached = score.new_full((packed,), -torch.inf).index_put_((place,), total[row, beam, child])
        reached = reached.view(-1, COLUMNS)
        block = max(1, BLOCK // (COLUMNS * self.tree.sizes[level + 1]))
        for begin in range(0, len(source), block):
            part = torch.arange(begin, min(begin + block, len(source)), device=rows.device)
            risen = self.floor[rows[source[part]]]  # by what the blocks before have found
            part = part[(reached[part] >= risen[:, None]).any(1)]
            if len(part):
                below = scorer.select(source[part])
                inner = below.advance(level + 1, parent[part], node[part])
                self.descend(below, level + 1, rows[source[part]], node[part], reached[part], inner)

    def _take(self, rows: Tensor, nodes: Tensor, total: Tensor) -> None:
        """Merge leaves [R, W, F] below nodes [R, W] into the lists of their requests."""
        k = self.score.shape[1]
        found, _, leaf = best_children(self.tree, self.tree.n_levels - 1, nodes, total, k)  # [R, n]
        request, own, count = torch.unique_consecutive(rows, return_inverse=True, return_counts=True)
        nth = torch.arange(len(rows), device=rows.device) - (torch.cumsum(count, 0) - count)[own]
        shape = (len(request), int(count.max()), found.shape[1])
        scores = found.new_full(shape, -torch.inf).index_put_((own, nth), found).flatten(1)
        leaves = leaf.new_zeros(shape).index_put_((own, nth), leaf).flatten(1)
        scores = torch.cat([self.score[request], scores], dim=1)
        leaves = torch.cat([self.leaf[request], leaves], dim=1)
        best, column = topk(scores, k, tie_rank(leaves))
        self.score[request] = best
        self.leaf[request] = leaves.gather(1, column)
        self.floor[request] = torch.maximum(self.floor[request], _lowered(best[:, -1]))

    def _finite_floor(self, rows: Tensor) -> Tensor:
        """Floors of rows; where fewer than k items are known, everything that is not at -inf passes."""
        return self.floor[rows].clamp_min(torch.finfo(self.floor.dtype).min)


def _packed(row: Tensor, n_rows: int) -> tuple[Tensor, Tensor]:
    """Elements sorted by row [M] as packs of `COLUMNS`, each of one row.

    Returns:
        (row of each pack int64 [G], place of each element in [G * COLUMNS]).
    """
    count = torch.bincount(row, minlength=n_rows)
    packs = (count + COLUMNS - 1) // COLUMNS
    nth = torch.arange(len(row), device=row.device) - (torch.cumsum(count, 0) - count)[row]
    return torch.repeat_interleave(packs), (torch.cumsum(packs, 0) - packs)[row] * COLUMNS + nth
