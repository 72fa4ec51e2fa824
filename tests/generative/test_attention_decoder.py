from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from trees import Ids, ids, window

from genrec.errors import ConfigError
from genrec.generative.attention_decoder import AttentionDecoder
from genrec.generative.bound import branch_and_bound
from genrec.generative.generator import Generator
from genrec.generative.search import beam_search, exact_log_probs, exact_search
from genrec.generative.tree import CodeTree

SIZES, D, H = (3, 4, 2), 8, 4


def made(sizes: tuple[int, ...] = SIZES) -> AttentionDecoder:
    torch.manual_seed(0)
    decoder = AttentionDecoder(sizes, D, dropout=0.0, heads=H).double().eval()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter)  # far from the start, where all logits are alike
    return decoder


def states(rows: int) -> Tensor:
    return torch.randn(rows, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def causal(decoder: AttentionDecoder, state: Tensor, codes: Tensor) -> Tensor:
    """What the level heads read [M, L, D], from one causal attention over whole ids."""
    embedded = [table(codes[:, level]) for level, table in enumerate(decoder.prefix)]
    parts = torch.stack([state, *embedded], dim=1)
    total = parts.cumsum(1)
    query = decoder.query(decoder.total_norm(total + decoder.place))
    key, value = decoder.key_value(decoder.part_norm(parts + decoder.place)).chunk(2, dim=-1)
    heads = (one.unflatten(-1, (H, -1)).transpose(1, 2) for one in (query, key, value))
    mixed = F.scaled_dot_product_attention(*heads, is_causal=True).transpose(1, 2).flatten(2)
    return total + decoder.out(mixed)


@settings(max_examples=25)
@given(codes=st.lists(st.tuples(*[st.integers(0, size - 1) for size in SIZES]), min_size=1, max_size=5))
@torch.no_grad()
def test_it_is_causal_attention_over_the_state_and_the_codes_before(codes: list[tuple[int, ...]]) -> None:
    decoder, state = made(), states(len(codes))
    levels = decoder.teacher_forced(state, torch.tensor(codes))
    expected = causal(decoder, state, torch.tensor(codes))
    for level, (hidden, logits) in enumerate(levels):
        answer = decoder.heads[level](expected[:, level])
        torch.testing.assert_close(hidden, answer.hidden)
        torch.testing.assert_close(logits, answer.logits)
        assert logits.shape == (len(codes), SIZES[level])


def test_the_order_of_codes_counts_where_their_sum_is_the_same() -> None:
    decoder = made((3, 3, 2))
    decoder.prefix[1].load_state_dict(decoder.prefix[0].state_dict())
    levels = decoder.teacher_forced(states(1).expand(2, -1), torch.tensor([[0, 2, 0], [2, 0, 0]]))
    assert not torch.isclose(levels[2].logits[0], levels[2].logits[1]).any()


@settings(max_examples=40)
@given(made_ids=ids(distinct=True, most=12), over_tree=st.booleans())
@torch.no_grad()
def test_step_by_step_is_teacher_forced(made_ids: Ids, over_tree: bool) -> None:
    """And all searches agree on it."""
    tree = CodeTree.of(made_ids.codes, made_ids.sizes)
    generator = Generator(made(made_ids.sizes).float(), over_tree=over_tree)
    state = states(2).float()
    scorer = generator.scorer(tree, state, window(torch.full((2, 1), -1)), None)
    log_probs = exact_log_probs(scorer, tree)
    items = torch.arange(tree.n_items)
    for row in range(2):
        losses = generator.losses(tree, state[row].expand(tree.n_items, -1), items, None, None)
        assert float(-torch.stack(losses).sum()) == pytest.approx(float(log_probs[row].mean()), abs=1e-4)
    k = min(5, tree.n_items)
    best = log_probs.topk(k).values
    for items, found in (
        beam_search(scorer, tree, width=tree.n_items, k=k),
        branch_and_bound(scorer, tree, k=k),
        exact_search(scorer, tree, k=k),
    ):
        torch.testing.assert_close(found, best, atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(log_probs.gather(1, items), best, atol=1e-4, rtol=1e-5)


def test_beams_continue_what_they_are_told_to() -> None:
    decoder, state = made(), states(2)
    beams = decoder.beams(state)
    beams.start()
    beams.advance(1, torch.zeros(2, 3, dtype=torch.int64), torch.tensor([[2, 0, 1], [1, 1, 0]]))
    chosen = beams.select(torch.tensor([1, 0, 1]))
    parent, code = torch.tensor([[2, 0], [0, 0], [1, 1]]), torch.tensor([[3, 1], [3, 0], [2, 2]])
    found = chosen.advance(2, parent, code)
    expected = [[(1, 0, 3), (1, 1, 1)], [(0, 2, 3), (0, 2, 0)], [(1, 1, 2), (1, 1, 2)]]  # request, codes
    for row in range(3):
        for beam in range(2):
            request, first, second = expected[row][beam]
            forced = decoder.teacher_forced(state[request][None], torch.tensor([[first, second, 0]]))
            torch.testing.assert_close(found.logits[row, beam], forced[2].logits[0])
    again = beams.advance(2, torch.tensor([[1], [2]]), torch.tensor([[0], [0]]))  # the first is as it was
    forced = decoder.teacher_forced(state, torch.tensor([[0, 0, 0], [0, 0, 0]]))
    torch.testing.assert_close(again.logits[:, 0], forced[2].logits)
    torch.testing.assert_close(beams.start().logits[:, 0], forced[0].logits)


def test_every_weight_learns() -> None:
    decoder = AttentionDecoder(SIZES, D, dropout=0.1)
    codes = torch.from_numpy(np.indices(SIZES).reshape(3, -1).T.copy())
    levels = decoder.teacher_forced(torch.randn(len(codes), D), codes)
    sum(F.cross_entropy(one.logits, codes[:, level]) for level, one in enumerate(levels)).backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("heads", [3, 0])
def test_heads_must_divide_the_width(heads: int) -> None:
    with pytest.raises(ConfigError, match=rf"Timeline.width 8 .* AttentionDecoder.heads {heads}"):
        AttentionDecoder(SIZES, 8, 0.0, heads=heads)
