"""`transformers` and `rectokens` together: `generate` with the trie as a logits processor in place of a callback."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from rectokens.decoding.vntk import vtnk_pytorch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from rivals.contest import Job, World
from rivals.hf_t5 import FIRST, K_RETURNED, model, tokens
from rivals.rectokens_rq import DENSE, trie_of


class TrieProcessor(LogitsProcessor):
    """Leaves the tokens that continue each beam's prefix.

    Args:
        trie: of the codes.
        codes: K.
    """

    def __init__(self, trie: Any, codes: int) -> None:
        self.trie, self.codes = trie, codes

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Prefixes [rows, 1 + level], scores [rows, V] -> scores, -inf for tokens that are not allowed."""
        level = input_ids.shape[1] - 1
        first = FIRST + level * self.codes
        mine = scores[:, first : first + self.codes]
        path = input_ids[:, 1:] - FIRST - torch.arange(level) * self.codes
        left = torch.full_like(scores, -torch.inf)
        left[:, first : first + self.codes] = self._allowed(mine, path, level)
        return left

    def _allowed(self, scores: Tensor, path: Tensor, level: int) -> Tensor:
        if level < DENSE:
            mask = self.trie.dense_mask_by_layer[level]
            return scores.masked_fill(~(mask[path.unbind(-1)] if level else mask[None]), -torch.inf)
        node = self.trie.dense_states[path[:, :DENSE].unbind(-1)]
        for depth in range(DENSE, level):
            following, columns, _ = vtnk_pytorch(scores, node, self.trie, depth)
            node = torch.where(columns == path[:, depth, None], following, 0).sum(1)
        allowed: Tensor = vtnk_pytorch(scores, node, self.trie, level)[2]
        return allowed


def generation(world: World) -> list[Job]:
    """The same model and beams as with the callback."""
    t5 = model(world).eval()
    ids, mask = tokens(world, world.requests.items, world.requests.users)
    run = partial(
        t5.generate,
        input_ids=ids,
        attention_mask=mask,
        num_beams=world.sizes.beams,
        num_return_sequences=min(K_RETURNED, world.sizes.beams),
        max_new_tokens=world.sizes.levels,
        do_sample=False,
        logits_processor=LogitsProcessorList([TrieProcessor(trie_of(world), world.sizes.codes)]),
    )
    return [Job("transformers T5, rectokens trie", run, len(ids), "vtnk_pytorch in a LogitsProcessor")]


SECTIONS = {"generation": generation}
