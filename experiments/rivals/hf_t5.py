"""`transformers`: T5ForConditionalGeneration as TIGER uses it, and `generate` with `prefix_allowed_tokens_fn`."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration

from rivals.contest import (
    DROPOUT,
    FEED,
    HEAD_WIDTH,
    HEADS,
    LAYERS,
    USER_TOKENS,
    Batch,
    Job,
    World,
    millions,
    steps,
)

PAD, FIRST = 0, 1  # the first token of level 0; users come after the codes
K_RETURNED = 10


def model(world: World) -> Any:
    """T5 of the paper's size with fused attention, no end token: all ids are of one length."""
    torch.manual_seed(0)
    sizes = world.sizes
    config = T5Config(  # type: ignore[call-arg]
        vocab_size=FIRST + sizes.levels * sizes.codes + USER_TOKENS,
        d_model=sizes.width,
        d_ff=FEED,
        d_kv=HEAD_WIDTH,
        num_heads=HEADS,
        num_layers=LAYERS,
        dropout_rate=DROPOUT,
        pad_token_id=PAD,
        decoder_start_token_id=PAD,
        eos_token_id=None,
        attn_implementation="sdpa",
    )
    return T5ForConditionalGeneration(config)


def tokens(world: World, items: Tensor, users: Tensor) -> tuple[Tensor, Tensor]:
    """Histories int64 [B, T] -> (a user token and L tokens per item [B, 1 + T L], attention mask)."""
    sizes = world.sizes
    real = (items >= 0).repeat_interleave(sizes.levels, dim=1)
    codes = targets(world, items.clamp_min(0)).flatten(1).masked_fill(~real, PAD)
    user = FIRST + sizes.levels * sizes.codes + users % USER_TOKENS
    ids = torch.cat([user[:, None], codes], dim=1)
    return ids, (ids != PAD).long()


def targets(world: World, items: Tensor) -> Tensor:
    """Items int64 [...] -> tokens [..., L]."""
    return world.codes[items] + FIRST + torch.arange(world.sizes.levels) * world.sizes.codes


def training(world: World) -> list[Job]:
    """In batches of similar length, and in random ones."""

    def job(name: str, batches: list[Batch]) -> Job:
        t5 = model(world)

        def loss(ids: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
            return t5(input_ids=ids, attention_mask=mask, labels=labels).loss  # type: ignore[no-any-return]

        losses = [
            partial(loss, *tokens(world, batch.history, batch.users), targets(world, batch.target))
            for batch in batches
        ]
        work = sum(len(batch.target) for batch in batches)
        return Job(
            name, steps(t5, losses), work, f"{len(batches)} x {work // len(batches)} rows, {millions(t5)}"
        )

    count = world.sizes.batches
    return [
        job("transformers T5, by length", world.batches(bucketed=True, count=count)),
        job("transformers T5, random", world.batches(bucketed=False, count=1)),
    ]


def prefixes(world: World) -> dict[tuple[int, ...], list[int]]:
    """What `prefix_allowed_tokens_fn` looks up: prefix of tokens -> tokens that continue it."""
    following: dict[tuple[int, ...], set[int]] = defaultdict(set)
    for row in targets(world, torch.arange(len(world.codes))).tolist():
        for level, token in enumerate(row):
            following[(PAD, *row[:level])].add(token)
    return {prefix: sorted(tokens) for prefix, tokens in following.items()}


def generation(world: World) -> list[Job]:
    """Beam search over the tree, a dict of prefixes in the callback."""
    t5, allowed = model(world).eval(), prefixes(world)
    ids, mask = tokens(world, world.requests.items, world.requests.users)

    def allow(row: int, prefix: Tensor) -> list[int]:
        return allowed.get(tuple(prefix.tolist()), [PAD])  # a beam that is no prefix is already at -inf

    run = partial(
        t5.generate,
        input_ids=ids,
        attention_mask=mask,
        num_beams=world.sizes.beams,
        num_return_sequences=min(K_RETURNED, world.sizes.beams),
        max_new_tokens=world.sizes.levels,
        do_sample=False,
        prefix_allowed_tokens_fn=allow,
    )
    return [Job("transformers T5 generate", run, len(ids), f"prefix_allowed_tokens_fn, {millions(t5)}")]


SECTIONS = {"training": training, "generation": generation}
