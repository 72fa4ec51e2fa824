"""Losses and scores of a generator, against their definition and each other, with all that can be added."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from trees import Ids, ids, window

from genrec.errors import ConfigError
from genrec.generative.decoder import CodeDecoder
from genrec.generative.generator import Generator
from genrec.generative.nodes import NodeKeys
from genrec.generative.parallel import ParallelDecoder
from genrec.generative.repeat import Repeat, taken
from genrec.generative.search import beam_search, exact_log_probs, exact_search
from genrec.generative.tree import CodeTree

D, E = 6, 5


def made(tree: CodeTree, *, over_tree: bool, nodes: bool, repeat: bool, smoothing: float = 0.0) -> Generator:
    torch.manual_seed(tree.n_levels)
    generator = Generator(
        CodeDecoder(tree.sizes, D, dropout=0.0),
        over_tree=over_tree,
        smoothing=smoothing,
        nodes=NodeKeys(tree, E, D) if nodes else None,
        repeat=Repeat(tree.n_levels) if repeat else None,
    )
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter)  # far from the start, where all logits are alike
    return generator.double().eval()


def definition(
    generator: Generator,
    tree: CodeTree,
    ids: Ids,
    state: Tensor,
    item: int,
    vectors: Tensor,
    history: list[int],
) -> list[float]:
    """The losses of one target by level, in plain Python."""
    levels = generator.decoder.teacher_forced(state[None], torch.from_numpy(ids.codes[item][None]).long())  # type: ignore[operator, union-attr]
    losses = []
    codes = [tuple(row) for row in ids.codes.tolist()]
    for level, (hidden, logits) in enumerate(levels):
        prefix = codes[item][:level]
        logit = dict(enumerate(logits[0].tolist()))
        for code in sorted({other[level] for other in codes if other[:level] == prefix}):
            below = [i for i, other in enumerate(codes) if other[: level + 1] == (*prefix, code)]
            if generator.nodes is not None and level > 0:
                key = generator.nodes.key[level - 1](vectors[below].mean(0))
                query = generator.nodes.query[level - 1](hidden[0])
                scale = math.exp(generator.nodes.log_scale[level - 1])
                node = int(tree.item_path[below[0], level])
                logit[code] += float(query @ key / query.norm() / key.norm()) * scale
                logit[code] += float(generator.nodes.bias[level - 1][node])
            if generator.repeat is not None:
                share = len(set(history) & set(below)) / len(below)
                logit[code] += float(generator.repeat.weight()[level]) * share
        if generator.over_tree:
            logit = {other[level]: logit[other[level]] for other in codes if other[:level] == prefix}
        total = math.log(sum(math.exp(value) for value in logit.values()))
        spread = -sum(value - total for value in logit.values()) / len(logit)
        loss = total - logit[codes[item][level]]
        losses.append((1 - generator.smoothing) * loss + generator.smoothing * spread)
    return losses


@given(
    made_ids=ids(distinct=True),
    terms=st.sampled_from(
        [(False, False, False), (True, False, False), (True, True, False), (True, True, True)]
    ),
    smoothing=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 99),
)
@torch.no_grad()
def test_losses_are_those_of_the_definition(
    made_ids: Ids, terms: tuple[bool, bool, bool], smoothing: float, seed: int
) -> None:
    over_tree, nodes, repeat = terms
    tree = CodeTree.of(made_ids.codes, made_ids.sizes)
    generator = made(tree, over_tree=over_tree, nodes=nodes, repeat=repeat, smoothing=smoothing)
    rng = np.random.default_rng(seed)
    target = torch.from_numpy(rng.integers(tree.n_items, size=4))
    state, vectors = (
        torch.from_numpy(rng.normal(size=(4, D))),
        torch.from_numpy(rng.normal(size=(tree.n_items, E))),
    )
    history = torch.from_numpy(rng.integers(tree.n_items, size=(4, 3)))
    found = generator.losses(tree, state, target, taken(window(history), tree.n_items), vectors)
    expected = [
        definition(generator, tree, made_ids, state[row], int(target[row]), vectors, history[row].tolist())
        for row in range(4)
    ]
    np.testing.assert_allclose(torch.stack(found), np.mean(expected, axis=0), rtol=1e-6, atol=1e-6)


@given(
    made_ids=ids(distinct=True),
    terms=st.sampled_from(
        [(False, False, False), (True, False, False), (True, True, False), (True, True, True)]
    ),
)
@torch.no_grad()
def test_search_adds_up_what_training_maximises(made_ids: Ids, terms: tuple[bool, bool, bool]) -> None:
    """Teacher forcing each item gives minus the log-probability that search gives it."""
    over_tree, nodes, repeat = terms
    tree = CodeTree.of(made_ids.codes, made_ids.sizes)
    generator = made(tree, over_tree=over_tree, nodes=nodes, repeat=repeat)
    items = torch.arange(tree.n_items)
    state, vectors = torch.randn(2, D, dtype=torch.float64), torch.randn(tree.n_items, E, dtype=torch.float64)
    histories = window(torch.stack([items[:1].expand(2), torch.tensor([-1, tree.n_items - 1])]))
    log_probs = exact_log_probs(generator.scorer(tree, state, histories, generator.keys(tree, vectors)), tree)
    assert (log_probs.exp().sum(1) <= 1 + 1e-6).all()
    if over_tree:
        torch.testing.assert_close(log_probs.exp().sum(1), torch.ones(2, dtype=torch.float64))
    for row in range(2):
        for item in items:
            row_history = taken(window(histories.items[row : row + 1]), tree.n_items)
            losses = generator.losses(tree, state[row : row + 1], item[None], row_history, vectors)
            torch.testing.assert_close(-torch.stack(losses).sum(), log_probs[row, item], atol=1e-5, rtol=1e-5)


def test_a_scorer_can_be_asked_again_and_for_some_requests() -> None:
    tree = CodeTree.of(np.array([[0, 1], [1, 0], [1, 1]], np.int32), (2, 2))
    generator = made(tree, over_tree=True, nodes=True, repeat=True)
    state, vectors = torch.randn(2, D, dtype=torch.float64), torch.randn(3, E, dtype=torch.float64)
    scorer = generator.scorer(
        tree, state, window(torch.tensor([[0, 1], [2, -1]])), generator.keys(tree, vectors)
    )
    first, again = (beam_search(scorer, tree, width=3, k=3) for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    second = beam_search(scorer.select(torch.tensor([1, 1])), tree, width=3, k=3)
    torch.testing.assert_close(second[1], first[1][1].expand(2, -1))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_gradients_stay_finite_with_codes_that_do_not_exist(smoothing: float) -> None:
    codes = np.array([[0, 1], [2, 0], [2, 2]], np.int32)
    tree = CodeTree.of(codes, (3, 3))
    generator = made(tree, over_tree=True, nodes=True, repeat=False, smoothing=smoothing)
    state = torch.randn(3, D, dtype=torch.float64)
    losses = generator.losses(tree, state, torch.arange(3), None, torch.randn(3, E, dtype=torch.float64))
    torch.stack(losses).sum().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    classify = generator.decoder.heads[0].classify  # type: ignore[index, union-attr]
    assert (classify.weight.grad[1] == 0).all()  # code 1 exists nowhere on level 0


@pytest.mark.parametrize("terms", [{"nodes": True, "repeat": False}, {"nodes": False, "repeat": True}])
def test_nodes_need_logits_over_nodes(terms: dict[str, bool]) -> None:
    tree = CodeTree.of(np.array([[0, 1]], np.int32), (2, 2))
    with pytest.raises(ConfigError, match=r"need Timeline.tree_softmax = True"):
        made(tree, over_tree=False, **terms)


@given(made_ids=ids(distinct=True))
@torch.no_grad()
def test_a_parallel_decoder_scores_items_as_a_walk_of_the_tree_would(made_ids: Ids) -> None:
    tree = CodeTree.of(made_ids.codes, made_ids.sizes)
    torch.manual_seed(0)
    generator = Generator(ParallelDecoder(tree.sizes, D, dropout=0.0), over_tree=False).eval()
    scorer = generator.scorer(tree, torch.randn(3, D), window(torch.zeros(3, 1, dtype=torch.int64)), None)
    items, scores = exact_search(scorer, tree, k=tree.n_items)
    same, walked = beam_search(scorer, tree, width=tree.n_items, k=tree.n_items)
    torch.testing.assert_close(scores, walked)
    at = items.sort(1).indices, same.sort(1).indices
    torch.testing.assert_close(scores.gather(1, at[0]), walked.gather(1, at[1]))
