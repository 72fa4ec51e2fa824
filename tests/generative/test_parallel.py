from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from trees import Ids, ids, window

from genrec.generative import parallel
from genrec.generative.bound import branch_and_bound
from genrec.generative.generator import Generator
from genrec.generative.parallel import ParallelDecoder
from genrec.generative.search import beam_search, exact_log_probs, exact_search
from genrec.generative.tree import CodeTree

D = 6


def made(sizes: tuple[int, ...]) -> ParallelDecoder:
    torch.manual_seed(0)
    decoder = ParallelDecoder(sizes, D, dropout=0.0).double().eval()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter)
    return decoder


def states(rows: int) -> Tensor:
    return torch.randn(rows, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_a_digit_is_a_scaled_cosine_of_the_projected_state_and_its_codes() -> None:
    decoder, state = made((3, 4)), states(5)
    for head, level in zip(
        decoder.heads, decoder.teacher_forced(state, torch.zeros(5, 2).long()), strict=True
    ):
        projected = state + F.silu(F.linear(state, head.project.weight, head.project.bias))
        cosine = F.cosine_similarity(projected[:, None], head.codes, dim=-1)
        torch.testing.assert_close(level.logits, head.log_scale.exp() * cosine + head.bias)
        torch.testing.assert_close(level.hidden, projected / projected.norm(dim=-1, keepdim=True))


def test_digits_do_not_know_each_other() -> None:
    decoder, state = made((3, 4, 2)), states(2)
    one = decoder.teacher_forced(state, torch.tensor([[0, 0, 0], [2, 3, 1]]))
    other = decoder.teacher_forced(state, torch.tensor([[2, 1, 1], [0, 0, 0]]))
    for left, right in zip(one, other, strict=True):
        assert torch.equal(left.logits, right.logits)


@settings(max_examples=50)
@given(made_ids=ids(distinct=True), table=st.sampled_from([1, 30, 1 << 20]))
@torch.no_grad()
def test_item_scores_are_what_search_finds(made_ids: Ids, table: int) -> None:
    tree, decoder = CodeTree.of(made_ids.codes, made_ids.sizes), made(made_ids.sizes).float()
    state = states(7).float()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "TABLE", table)  # blocks of one state, of some, of all
        scores = decoder.item_scores(state, tree.codes())
    generator = Generator(decoder, over_tree=False)
    scorer = generator.scorer(tree, state, window(torch.full((7, 1), -1)), None)
    torch.testing.assert_close(scores, exact_log_probs(scorer, tree), atol=1e-4, rtol=1e-5)
    losses = generator.losses(tree, state, torch.zeros(7, dtype=torch.int64), None, None)
    assert float(-torch.stack(losses).sum()) == pytest.approx(float(scores[:, 0].mean()), abs=1e-4)
    k = min(5, tree.n_items)
    best = scores.topk(k).values
    for items, found in (
        beam_search(scorer, tree, width=tree.n_items, k=k),
        branch_and_bound(scorer, tree, k=k),
        exact_search(scorer, tree, k=k),
    ):
        torch.testing.assert_close(found, best, atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(scores.gather(1, items), best, atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_probabilities_of_all_ids_add_up_to_one() -> None:
    decoder = made((3, 1, 4))
    every = torch.from_numpy(np.indices((3, 1, 4)).reshape(3, -1).T.copy())
    scores = decoder.item_scores(states(3), every)
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(3, dtype=torch.float64))


@torch.no_grad()
def test_ids_of_thirty_two_digits_in_any_kind_of_integers() -> None:
    sizes = (256,) * 32
    codes = np.random.default_rng(0).integers(256, size=(50, 32))
    decoder, state = made(sizes).float(), states(3).float()
    scores = decoder.item_scores(state, torch.from_numpy(codes))
    levels = decoder.teacher_forced(state, torch.from_numpy(codes))
    by_digit = torch.stack([one.logits.log_softmax(-1)[:, codes[:, i]] for i, one in enumerate(levels)])
    torch.testing.assert_close(scores, by_digit.sum(0), rtol=1e-5, atol=1e-4)
    for kind in (torch.uint8, torch.int32):
        assert torch.equal(decoder.item_scores(state, torch.from_numpy(codes).to(kind)), scores)
    tree = CodeTree.of(codes, sizes)
    scorer = Generator(decoder, over_tree=False).scorer(tree, state, window(torch.full((3, 1), -1)), None)
    items, found = beam_search(scorer, tree, width=50, k=1)
    assert torch.equal(items[:, 0], scores.argmax(1))
    torch.testing.assert_close(found[:, 0], scores.amax(1), rtol=1e-5, atol=1e-4)


def test_some_requests_of_some_requests() -> None:
    decoder, state = made((3, 2)), states(3)
    beams = decoder.beams(state).select(torch.tensor([2, 0])).select(torch.tensor([1, 1, 0]))
    assert torch.equal(beams.start().logits[:, 0], decoder.heads[0](state[[0, 0, 2]]).logits)
    parent = torch.zeros(3, 4, dtype=torch.int64)
    expected = decoder.heads[1](state[[0, 0, 2]])
    found = beams.advance(1, parent, parent)
    assert torch.equal(found.logits, expected.logits[:, None].expand(-1, 4, -1))
    assert torch.equal(found.hidden, expected.hidden[:, None].expand(-1, 4, -1))


def test_it_learns_what_the_state_says() -> None:
    decoder = ParallelDecoder((4,) * 8, 16, dropout=0.0)
    state, codes = torch.randn(20, 16), torch.randint(4, (20, 8))
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.03)
    for _ in range(60):
        levels = decoder.teacher_forced(state, codes)
        loss = sum(F.cross_entropy(one.logits, codes[:, i]) for i, one in enumerate(levels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal(decoder.item_scores(state, codes).argmax(1), torch.arange(20))


@pytest.mark.parametrize("training", [False, True])
def test_dropout_acts_in_training_only(training: bool) -> None:
    decoder, state = ParallelDecoder((3,), D, dropout=0.5).train(training), torch.randn(4, D)
    first, second = (decoder.teacher_forced(state, torch.zeros(4, 1).long())[0].logits for _ in range(2))
    assert torch.equal(first, second) is not training
