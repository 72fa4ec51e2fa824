"""From a model's logits over the codes of a level to log-probabilities, in training and in search."""

from __future__ import annotations

import torch
from torch import Tensor

from genrec.generative.tree import CodeTree


def exact(logits: Tensor) -> Tensor:
    """Logits in float32 at least: mixed precision leaves 8 bits of a product, too few for probabilities."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def code_log_probs(logits: Tensor, valid: Tensor | None) -> Tensor:
    """Log-probabilities of the next code: what training maximises.

    Args:
        logits: [..., K].
        valid: bool [..., K], the codes of existing children, over which to normalise; None is all codes.

    Returns:
        [..., K], -inf where not valid.
    """
    logits = exact(logits)
    return (logits if valid is None else logits.masked_fill(~valid, -torch.inf)).log_softmax(-1)


def child_log_probs(
    logits: Tensor, tree: CodeTree, level: int, nodes: Tensor, over_tree: bool, bonus: Tensor | None = None
) -> Tensor:
    """Log-probabilities of the children of nodes: what search adds up, the same numbers as `code_log_probs`.

    Args:
        logits: [..., K], of the code of a level.
        tree: whose nodes they are.
        level: 0 .. L - 1, the depth of `nodes`.
        nodes: int64 [...].
        over_tree: normalise over the children that exist (tree-aware softmax); otherwise over all codes.
        bonus: [..., F_level], added to the logits of the children; only with `over_tree` and distinct ids.

    Returns:
        [..., F_level], in the order of `CodeTree.children`, -inf or anything where a child does not exist.
    """
    if tree.is_complete(level):
        return (logits if bonus is None else logits + bonus).log_softmax(-1)
    code = tree.child_codes(level, nodes).long()
    if over_tree and not (tree.shared_ids and level == tree.n_levels - 1):
        chosen = logits.gather(-1, code)
        chosen = chosen if bonus is None else chosen.add_(bonus)
        return chosen.masked_fill_(tree.missing(level, nodes), -torch.inf).log_softmax(-1)
    # items that share an id each have the probability of the id, so the sum must not count them one by one
    valid = tree.valid_codes(level, nodes) if over_tree else None
    return code_log_probs(logits, valid).gather(-1, code)
