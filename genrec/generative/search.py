"""Search for the most probable items: constrained beam search and exhaustive scoring.

Both walk the tree of valid ids, so that every result is an item, and both break equal scores by the same
fixed pseudo-random order of nodes, so that results are deterministic and a model that cannot tell items
apart gains nothing from how codes are numbered.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from genrec.errors import ConfigError
from genrec.generative.seen import ClosedNodes
from genrec.generative.tree import CodeTree
from genrec.topk import topk


class CodeScorer(Protocol):
    """A model's answer to "which code comes next?" for B requests; keeps its own state per beam."""

    def start(self) -> Tensor:
        """Logits of the first code [B, 1, K_0]."""
        ...

    def advance(self, level: int, parent: Tensor, code: Tensor) -> Tensor:
        """Continue beams and score the next level.

        Args:
            level: of the code to score now, 1 .. L - 1.
            parent: int64 [B, W], which of the beams of the call before each beam continues.
            code: int64 [B, W], the code of level - 1 that it takes.

        Returns:
            Logits [B, W, K_level].
        """
        ...


def tie_rank(node: Tensor) -> Tensor:
    """Order among equal scores: a bijection of 32-bit node numbers (Knuth's multiplicative hash).

    The added constant keeps node 0 from being the first of every tie.
    """
    return (node * 2_654_435_761 + 0x5851F42D) & 0xFFFFFFFF


def code_log_probs(logits: Tensor, valid: Tensor | None) -> Tensor:
    """Log-probabilities of the next code: what training maximises and search adds up.

    Args:
        logits: [..., K].
        valid: bool [..., K], the codes of existing children, over which to normalise; None is all codes.

    Returns:
        [..., K], -inf where not valid.
    """
    return (logits if valid is None else logits.masked_fill(~valid, -torch.inf)).log_softmax(-1)


@torch.no_grad()
def beam_search(
    scorer: CodeScorer,
    tree: CodeTree,
    *,
    width: int,
    k: int,
    closed: ClosedNodes | None = None,
    over_tree: bool = True,
) -> tuple[Tensor, Tensor]:
    """The k best items that a beam of `width` prefixes finds.

    Returns:
        (items int64 [B, k], log-probabilities [B, k]); -1 and -inf where fewer were found. With `width >= k`
        that is only where fewer than k items are open.
    """
    _check_positive(width=width, k=k)
    logits = scorer.start()
    nodes = torch.zeros(len(logits), 1, dtype=torch.int64, device=logits.device)  # [B, W], the root
    score = logits.new_zeros(len(logits), 1)
    for level in range(tree.n_levels):
        child, exists = tree.children(level, nodes)  # [B, W, F]
        code = tree.child_code[level][child].long()
        valid = tree.valid_codes(level, nodes) if over_tree else None  # [B, W, K]
        total = score[..., None] + code_log_probs(logits, valid).gather(-1, code)
        shut = ~exists if closed is None else ~exists | closed.contains(level, child)
        total = total.masked_fill(shut, -torch.inf)  # a beam that ran out of children stays at -inf
        last = level == tree.n_levels - 1
        keep = min(k if last else width, child.shape[1] * child.shape[2])
        score, column = topk(total.flatten(1), keep, tie_rank(child.flatten(1)))
        nodes = child.flatten(1).gather(1, column)
        if not last:
            parent = column // child.shape[2]
            logits = scorer.advance(level + 1, parent, code.flatten(1).gather(1, column))
    return _resolve(tree, nodes, score, k)


@torch.no_grad()
def exact_log_probs(scorer: CodeScorer, tree: CodeTree, *, over_tree: bool = True) -> Tensor:
    """Log-probability of every item, by expanding every node: [B, N], in the order of the items.

    Memory is B x nodes x K of the largest level. Items that share an id each have the probability of the id.
    """
    logits = scorer.start()  # [B, n_d, K]
    score = logits.new_zeros(len(logits), 1)  # [B, n_d]
    for level in range(tree.n_levels):
        nodes = torch.arange(tree.n_nodes(level), device=logits.device)
        parent = torch.repeat_interleave(nodes, tree.child_start[level].diff())  # [n_{d+1}]
        code = tree.child_code[level].long()
        valid = tree.valid_codes(level, nodes) if over_tree else None  # [n_d, K]
        score = score[:, parent] + code_log_probs(logits, valid)[:, parent, code]
        if level < tree.n_levels - 1:
            rows = len(score)
            logits = scorer.advance(level + 1, parent.expand(rows, -1), code.expand(rows, -1))
    return score[:, tree.item_path[:, -1].long()]


@torch.no_grad()
def exact_search(
    scorer: CodeScorer,
    tree: CodeTree,
    *,
    k: int,
    closed: ClosedNodes | None = None,
    over_tree: bool = True,
) -> tuple[Tensor, Tensor]:
    """The k most probable items, from scoring all: what a beam of unlimited width would return."""
    _check_positive(k=k)
    score = exact_log_probs(scorer, tree, over_tree=over_tree)[:, tree.leaf_item.long()]  # [B, leaves]
    leaves = torch.arange(tree.n_items, device=score.device).expand(len(score), -1)
    if closed is not None:
        score = score.masked_fill(closed.contains(tree.n_levels - 1, leaves), -torch.inf)
    score, nodes = topk(score, min(k, tree.n_items), tie_rank(leaves))
    return _resolve(tree, nodes, score, k)


def _check_positive(*, k: int, width: int = 1) -> None:
    if width < 1 or k < 1:
        raise ConfigError(f"beam width and k must be at least 1, got {width} and {k}")


def _resolve(tree: CodeTree, leaves: Tensor, score: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Leaves [B, n <= k] and scores, best first -> items and scores [B, k], padded with -1 and -inf."""
    found = score > -torch.inf
    items = torch.full((len(leaves), k), -1, dtype=torch.int64, device=leaves.device)
    scores = score.new_full((len(leaves), k), -torch.inf)
    items[:, : leaves.shape[1]] = torch.where(found, tree.leaf_item[leaves].long(), -1)
    scores[:, : leaves.shape[1]] = score
    return items, scores
