"""Search for the most probable items: constrained beam search and exhaustive scoring (and see `bound`).

They walk the tree of valid ids, so that every result is an item, and break equal scores by the same
fixed pseudo-random order of nodes, so that results are deterministic and a model that cannot tell items
apart gains nothing from how codes are numbered.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genrec.errors import ConfigError
from genrec.generative.base import ItemScorer, NodeScorer
from genrec.generative.seen import NodeFilter
from genrec.generative.tree import CodeTree
from genrec.topk import topk


def tie_rank(node: Tensor) -> Tensor:
    """Order among equal scores: a bijection of 32-bit node numbers (Knuth's multiplicative hash).

    The added constant keeps node 0 from being the first of every tie.
    """
    return (node * 2_654_435_761 + 0x5851F42D) & 0xFFFFFFFF


@torch.no_grad()
def beam_search(
    scorer: NodeScorer, tree: CodeTree, *, width: int, k: int, closed: NodeFilter | None = None
) -> tuple[Tensor, Tensor]:
    """The k best items that a beam of `width` prefixes finds.

    Returns:
        (items int64 [B, k], log-probabilities [B, k]); -1 and -inf where fewer were found. With `width >= k`
        that is only where fewer than k items are open.
    """
    check_positive(width=width, k=k)
    log_probs = scorer.start()
    rows = torch.arange(len(log_probs), device=log_probs.device)
    nodes = torch.zeros_like(rows)[:, None]  # [B, W], the root
    score = log_probs.new_zeros(len(rows), 1)
    for level in range(tree.n_levels):
        total = child_scores(tree, level, rows, nodes, score, log_probs, closed)
        last = level == tree.n_levels - 1
        score, parent, nodes = best_children(tree, level, nodes, total, k if last else width)
        if not last:
            log_probs = scorer.advance(level + 1, parent, nodes)
    return resolve(tree, nodes, score, k)


def child_scores(
    tree: CodeTree,
    level: int,
    rows: Tensor,
    nodes: Tensor,
    score: Tensor,
    log_probs: Tensor,
    closed: NodeFilter | None,
) -> Tensor:
    """Log-probabilities of the children of beams: [R, W, F], -inf where a child does not exist or is shut.

    Args:
        tree: of valid ids.
        level: depth of `nodes`.
        rows: int64 [R], the request of each row of beams.
        nodes: int64 [R, W].
        score: [R, W], the nodes' own log-probabilities.
        log_probs: [R, W, F], of their children given them.
        closed: what the search may not visit.
    """
    total = score[..., None] + log_probs
    if not tree.is_complete(level):
        total.masked_fill_(tree.missing(level, nodes), -torch.inf)
    if closed is not None:
        total.masked_fill_(closed.shut(level, nodes, rows), -torch.inf)
    return total


def best_children(
    tree: CodeTree, level: int, nodes: Tensor, total: Tensor, k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The k best children [R, min(k, W * F)] of beams, equal scores by `tie_rank`.

    Ties are rare and `tie_rank` of all children costs more than the search for the best, so it is looked at only
    where two of the best k + 1 are equal. Children at -inf, which need not exist, are in
    no order and become node 0.

    Args:
        tree: of valid ids.
        level: depth of `nodes`.
        nodes: int64 [R, W].
        total: [R, W, F].
        k: at least 1.

    Returns:
        (scores, the beams int64 they continue, nodes int64 of depth level + 1).
    """
    first, _ = tree.child_range(level, nodes)
    width = total.shape[2]
    flat = total.flatten(1)
    k = min(k, flat.shape[1])
    score, column = flat.topk(min(k + 1, flat.shape[1]))
    if ((score[:, 1:] == score[:, :-1]) & (score[:, 1:] > -torch.inf)).any():
        child = first[..., None] + torch.arange(width, device=nodes.device)
        score, column = topk(flat, k, tie_rank(child.flatten(1)))
    score, column = score[:, :k], column[:, :k]
    parent = column // width
    node = (first.gather(1, parent) + column % width).masked_fill_(score == -torch.inf, 0)
    return score, parent, node


@torch.no_grad()
def exact_log_probs(scorer: NodeScorer, tree: CodeTree) -> Tensor:
    """Log-probability of every item, by expanding every node: [B, N], in the order of the items.

    Memory is B x nodes x F of the largest level, and what the scorer needs for as many nodes. Items that share
    an id each have the probability of the id.
    """
    if isinstance(scorer, ItemScorer):
        return scorer.item_log_probs()
    log_probs = scorer.start()  # [B, n_d, F]
    rows = len(log_probs)
    score = log_probs.new_zeros(rows, 1)  # [B, n_d]
    for level in range(tree.n_levels):
        starts = tree.child_start[level].long()
        nodes = torch.arange(tree.n_nodes(level + 1), device=log_probs.device)
        parent = torch.repeat_interleave(starts.diff())  # [n_{d+1}]
        score = score[:, parent] + log_probs[:, parent, nodes - starts[parent]]
        if level < tree.n_levels - 1:
            log_probs = scorer.advance(level + 1, parent.expand(rows, -1), nodes.expand(rows, -1))
    return score[:, tree.item_path[:, -1].long()]


@torch.no_grad()
def exact_search(
    scorer: NodeScorer, tree: CodeTree, *, k: int, closed: NodeFilter | None = None
) -> tuple[Tensor, Tensor]:
    """The k most probable items, from scoring all: what a beam of unlimited width would return."""
    check_positive(k=k)
    leaves = torch.arange(tree.n_items, device=tree.leaf_item.device)
    score = exact_log_probs(scorer, tree)[:, tree.leaf_item.long()]  # [B, leaves]
    if closed is not None:
        last = tree.n_levels - 1
        starts = tree.child_start[last].long()
        parent = torch.repeat_interleave(starts.diff())  # [leaves]
        rows = torch.arange(len(score), device=score.device)
        shut = closed.shut(
            last, torch.arange(len(starts) - 1, device=rows.device).expand(len(rows), -1), rows
        )
        score.masked_fill_(shut[:, parent, leaves - starts[parent]], -torch.inf)
    score, nodes = topk(score, min(k, tree.n_items), tie_rank(leaves))
    return resolve(tree, nodes, score, k)


def check_positive(*, k: int, width: int = 1) -> None:
    """ConfigError unless both are at least 1."""
    if width < 1 or k < 1:
        raise ConfigError(f"beam width and k must be at least 1, got {width} and {k}")


def resolve(tree: CodeTree, leaves: Tensor, score: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Leaves [B, n <= k] and scores, best first -> items and scores [B, k], padded with -1 and -inf."""
    found = score > -torch.inf
    items = torch.full((len(leaves), k), -1, dtype=torch.int64, device=leaves.device)
    scores = score.new_full((len(leaves), k), -torch.inf)
    items[:, : leaves.shape[1]] = torch.where(found, tree.leaf_item[leaves].long(), -1)
    scores[:, : leaves.shape[1]] = score
    return items, scores
