from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from trees import Ids, children, ids

from genrec.generative.decoder import CodeDecoder
from genrec.generative.search import beam_search, exact_log_probs
from genrec.generative.tree import CodeTree

D = 6


def double(sizes: tuple[int, ...]) -> CodeDecoder:
    torch.manual_seed(len(sizes))
    decoder = CodeDecoder(sizes, D, dropout=0.0).double().eval()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter)  # far from the start, where all logits are alike
    return decoder


def written_out(
    decoder: CodeDecoder, state: Tensor, codes: list[int], made: Ids, over_tree: bool, smoothing: float
) -> list[float]:
    """The losses of one target by level, from their definition."""
    losses = []
    h = state
    for level, code in enumerate(codes):
        logits = decoder.heads[level](h)
        allowed = sorted(set(children(made.codes, tuple(codes[:level])))) if over_tree else range(len(logits))
        total = sum(float(logits[other].exp()) for other in allowed)
        log_prob = {other: float(logits[other]) - np.log(total) for other in allowed}
        spread = -sum(log_prob.values()) / len(log_prob)
        losses.append(-(1 - smoothing) * log_prob[code] + smoothing * spread)
        if level < len(codes) - 1:
            h = h + decoder.prefix[level].weight[code]
    return losses


@given(
    made=ids(), over_tree=st.booleans(), smoothing=st.sampled_from([0.0, 0.1, 0.7]), seed=st.integers(0, 99)
)
@torch.no_grad()
def test_losses_are_those_of_the_definition(made: Ids, over_tree: bool, smoothing: float, seed: int) -> None:
    tree, decoder = CodeTree.of(made.codes, made.sizes), double(made.sizes)
    rng = np.random.default_rng(seed)
    targets = torch.from_numpy(rng.integers(tree.n_items, size=5))
    state = torch.from_numpy(rng.normal(size=(5, D)))
    codes = torch.from_numpy(made.codes).long()[targets]
    path = tree.item_path.long()[targets]
    losses = decoder.level_losses(state, codes, path, tree if over_tree else None, smoothing)
    expected = [
        written_out(decoder, state[row], codes[row].tolist(), made, over_tree, smoothing) for row in range(5)
    ]
    np.testing.assert_allclose(torch.stack(losses), np.mean(expected, axis=0), rtol=1e-9, atol=1e-9)


@given(made=ids(distinct=True))
@torch.no_grad()
def test_search_adds_up_what_training_maximises(made: Ids) -> None:
    """Teacher forcing each item gives minus the log-probability that search gives it."""
    tree, decoder = CodeTree.of(made.codes, made.sizes), double(made.sizes)
    state = torch.randn(2, D, dtype=torch.float64)
    items = torch.arange(tree.n_items)
    codes = torch.from_numpy(made.codes).long()
    for over_tree in (True, False):
        log_probs = exact_log_probs(decoder.scorer(state), tree, over_tree=over_tree)
        assert (log_probs.exp().sum(1) <= 1 + 1e-9).all()
        if over_tree:
            torch.testing.assert_close(log_probs.exp().sum(1), torch.ones(2, dtype=torch.float64))
        for row in range(2):
            for item in items:
                losses = decoder.level_losses(
                    state[row : row + 1],
                    codes[item : item + 1],
                    tree.item_path.long()[item : item + 1],
                    tree if over_tree else None,
                )
                torch.testing.assert_close(-torch.stack(losses).sum(), log_probs[row, item])


def test_a_scorer_can_be_asked_again() -> None:
    made = Ids(np.array([[0, 1], [1, 0], [1, 1]], np.int32), (2, 2))
    tree, decoder = CodeTree.of(made.codes, made.sizes), double(made.sizes)
    scorer = decoder.scorer(torch.randn(2, D, dtype=torch.float64))
    first = beam_search(scorer, tree, width=3, k=3)
    again = beam_search(scorer, tree, width=3, k=3)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_gradients_stay_finite_with_codes_that_do_not_exist(smoothing: float) -> None:
    codes = np.array([[0, 1], [2, 0], [2, 2]], np.int32)
    tree, decoder = CodeTree.of(codes, (3, 3)), CodeDecoder((3, 3), D, dropout=0.0)
    losses = decoder.level_losses(
        torch.randn(3, D), torch.from_numpy(codes).long(), tree.item_path.long(), tree, smoothing
    )
    torch.stack(losses).sum().backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert (decoder.heads[0].classify.weight.grad[1] == 0).all()  # code 1 exists nowhere on level 0
