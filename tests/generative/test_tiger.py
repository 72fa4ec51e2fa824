"""TIGER trains on what its search then adds up, and searches as `transformers` generates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hf_weights import copy_weights, their_t5
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from trees import Ids, ids, window

from genrec.errors import ConfigError
from genrec.generative import tiger_scorer
from genrec.generative.base import Window
from genrec.generative.bound import branch_and_bound
from genrec.generative.search import beam_search, exact_log_probs, exact_search
from genrec.generative.tiger import Tiger
from genrec.generative.tree import CodeTree

N = 20
CODES = np.random.default_rng(0).permutation(27)[:N]
TREE = CodeTree.of(np.stack(np.unravel_index(CODES, (3, 3, 3)), axis=1), (3, 3, 3))
SMALL = {"embed_dim": 16, "width": 16, "heads": 2, "layers": 1, "feed_width": 32, "max_length": 4}


def small(tree: CodeTree = TREE, **changes: Any) -> Tiger:
    torch.manual_seed(0)
    return Tiger(tree, **SMALL | {"dropout": 0.0, "user_buckets": 5} | changes)


def cycles(rows: int, length: int, seed: int) -> Tensor:
    """Histories in which item i is followed by item i + 1."""
    start = torch.randint(N, (rows, 1), generator=torch.Generator().manual_seed(seed))
    return (start + torch.arange(length)) % N


def ragged(lengths: list[int], seed: int = 0) -> Tensor:
    """Random histories padded with -1, at least one column wide."""
    generator = torch.Generator().manual_seed(seed)
    items = torch.randint(N, (len(lengths), max(1, *lengths)), generator=generator)
    return torch.where(torch.arange(items.shape[1]) < torch.tensor(lengths)[:, None], items, -1)


@pytest.mark.parametrize("tree_softmax", [True, False])
def test_a_deterministic_pattern_is_learned(tree_softmax: bool) -> None:
    model = small(tree_softmax=tree_softmax)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.005)
    for step in range(150):
        optimizer.zero_grad()
        model(window(cycles(16, 4, step)), torch.ones(16, dtype=torch.int64))["loss"].backward()
        optimizer.step()
    histories = torch.arange(N)[:, None].add(torch.arange(3)) % N
    items, _ = beam_search(model.eval().scorer(window(histories)), TREE, width=3, k=1)
    assert (items[:, 0] == (histories[:, -1] + 1) % N).double().mean() > 0.9


@pytest.mark.parametrize("tree_softmax", [True, False])
@torch.no_grad()
def test_loss_is_minus_the_log_probability_that_search_gives_the_targets(tree_softmax: bool) -> None:
    model = small(tree_softmax=tree_softmax).double().eval()
    items = ragged([7, 3, 1, 6])
    first = torch.tensor([0, 1, 0, 5])  # of the last window, the last item alone is a target
    expected = []
    for row in range(4):
        for place in range(int(first[row]), int((items[row] >= 0).sum())):
            before = items[row : row + 1, max(0, place - 4) : place]
            history = Window(F.pad(before, (0, 1), value=-1), torch.tensor([row]))
            expected.append(-exact_log_probs(model.scorer(history), TREE)[0, items[row, place]])
    found = model(window(items), first)
    torch.testing.assert_close(found["loss"], torch.stack(expected).mean())
    torch.testing.assert_close(found["loss"], sum(found[f"code/{level}"] for level in range(3)))


@settings(max_examples=25, deadline=None)
@given(made=ids(), seed=st.integers(0, 100), tree_softmax=st.booleans(), k=st.integers(1, 12))
@torch.no_grad()
def test_every_search_finds_the_same(made: Ids, seed: int, tree_softmax: bool, k: int) -> None:
    tree = CodeTree.of(made.codes, made.sizes)
    model = small(tree, tree_softmax=tree_softmax).double().eval()
    generator = torch.Generator().manual_seed(seed)
    history = window(torch.randint(-1, tree.n_items, (3, 1), generator=generator))
    scorer = model.scorer(history)
    items, scores = exact_search(scorer, tree, k=k)
    for found in (
        beam_search(scorer, tree, width=tree.n_items, k=k),
        branch_and_bound(scorer, tree, k=k),
    ):
        torch.testing.assert_close(found[1], scores)
        if not tree.shared_ids:
            assert torch.equal(found[0], items)
    total = exact_log_probs(scorer, tree).exp().sum(1)
    if tree_softmax and not tree.shared_ids:
        torch.testing.assert_close(total, torch.ones(3, dtype=torch.float64))


@torch.no_grad()
def test_beams_in_parts_are_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, history = small().double().eval(), window(ragged([4, 0, 2, 7, 1]))
    at_once = beam_search(model.scorer(history), TREE, width=6, k=5)
    monkeypatch.setattr(tiger_scorer, "BEAMS", 12)
    in_parts = beam_search(model.scorer(history), TREE, width=6, k=5)
    assert torch.equal(at_once[0], in_parts[0])
    torch.testing.assert_close(at_once[1], in_parts[1])


@torch.no_grad()
def test_a_decided_beam_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids that differ in the first code alone: after it, there is nothing to ask the model."""
    tree = CodeTree.of(np.stack([np.arange(9), np.zeros(9, int), np.zeros(9, int)], axis=1), (9, 2, 2))
    model = small(tree).eval()
    scorer, asked, step = model.scorer(window(ragged([2, 3]) % 9)), [], model.t5.step

    def counted(tokens: Tensor, *rest: Any) -> Any:
        asked.append(tokens.shape[1])
        return step(tokens, *rest)

    monkeypatch.setattr(model.t5, "step", counted)
    _, scores = beam_search(scorer, tree, width=5, k=5)
    assert asked == [1, 1, 1]
    assert scores.exp().sum() < 2
    torch.testing.assert_close(beam_search(scorer, tree, width=9, k=9)[1].exp().sum(1), torch.ones(2))


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(0, 7), min_size=2, max_size=5))
@torch.no_grad()
def test_padding_and_company_change_nothing_and_old_items_are_cut(lengths: list[int]) -> None:
    model, items = small().double().eval(), ragged(lengths)
    together = exact_log_probs(model.scorer(window(items)), TREE)
    for row, length in enumerate(lengths):
        newest = items[row : row + 1, max(0, length - 4) : max(1, length)]
        alone = exact_log_probs(model.scorer(Window(newest, torch.tensor([row]))), TREE)
        torch.testing.assert_close(together[row : row + 1], alone)


@torch.no_grad()
def test_order_of_items_and_codes_and_the_user_matter() -> None:
    model = small().double().eval()
    items = torch.tensor([[1, 2, 3]])

    def log_probs(items: Tensor, user: int) -> Tensor:
        return exact_log_probs(model.scorer(Window(items, torch.tensor([user]))), TREE)

    usual = log_probs(items, 0)
    assert not torch.allclose(usual, log_probs(items.flip(1), 0))
    users = [log_probs(items, user) for user in range(40)]
    assert 2 <= len({tuple(one[0].tolist()) for one in users}) <= 5
    model = small(user_buckets=1).double().eval()
    assert torch.equal(log_probs(items, 0), log_probs(items, 1))


def test_users_are_spread_over_their_buckets() -> None:
    model = small(user_buckets=2000)
    users = torch.cat([torch.arange(20_000), 2**31 - 1 - torch.arange(100)])
    tokens, real = model.source(
        Window(torch.zeros(len(users), 1, dtype=torch.int64), users),
        torch.arange(len(users)),
        torch.zeros_like(users),
    )
    assert real is None
    assert tokens.shape == (len(users), 1)
    bucket = tokens[:, 0] - (1 + 9)
    assert bucket.min() >= 0
    assert bucket.max() < 2000
    assert torch.bincount(bucket[:20_000], minlength=2000).max() <= 20


def test_what_the_encoder_reads() -> None:
    model = small(CodeTree.of(np.array([[0, 1], [1, 0], [1, 2]]), (2, 3)), max_length=2)
    row, stop = torch.tensor([0, 0, 1]), torch.tensor([3, 1, 2])
    tokens, real = model.source(window(torch.tensor([[0, 1, 2], [2, 2, -1]])), row, stop)
    codes = [[2, 3, 2, 5], [1, 4, 0, 0], [2, 5, 2, 5]]  # 1 and 2 are of the first level, 3 to 5 of the second
    assert tokens[:, 1:].tolist() == codes
    assert (tokens[:, 0] >= 6).all()
    assert real is not None
    assert real.tolist() == [[True] * 5, [True] * 3 + [False] * 2, [True] * 5]


@pytest.mark.parametrize("changes", [{}, {"gated": True, "tree_softmax": False}])
def test_gradient_reaches_every_parameter(changes: dict[str, Any]) -> None:
    """A parameter that no loss touches would be dead weight, and an error with several processes."""
    model = small(**changes)
    model(window(cycles(16, 5, 0)), torch.zeros(16, dtype=torch.int64))["loss"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_the_tree_moves_with_the_model() -> None:
    moved = small().to("meta")
    assert {moved.tree.leaf_item.device.type, moved.tokens.device.type} == {"meta"}


def test_search_finds_what_transformers_generates() -> None:
    """Its beam search, kept to valid ids by `prefix_allowed_tokens_fn`, with probabilities over what is allowed."""
    pytest.importorskip("transformers", reason="transformers is not installed: pip install -e '.[text]'")
    model = small(layers=2).eval()
    reference = their_t5(
        model.t5.embedding.num_embeddings, width=16, heads=2, head_width=8, feed=32, layers=2
    ).eval()
    copy_weights(reference.state_dict(), model.t5)
    history = window(ragged([4, 2, 0]))
    tokens, real = model.source(history, torch.arange(3), (history.items >= 0).sum(1))
    assert real is not None
    allowed: dict[tuple[int, ...], set[int]] = {}
    for item in model.tokens.tolist():
        for level, token in enumerate(item):
            allowed.setdefault((0, *item[:level]), set()).add(token)
    expected = reference.generate(
        input_ids=tokens,
        attention_mask=real.long(),
        num_beams=6,
        num_return_sequences=4,
        max_new_tokens=3,
        do_sample=False,
        length_penalty=0.0,
        renormalize_logits=True,
        prefix_allowed_tokens_fn=lambda _, prefix: sorted(allowed.get(tuple(prefix.tolist()), {0})),
        return_dict_in_generate=True,
        output_scores=True,
    )
    items, scores = beam_search(model.scorer(history), TREE, width=6, k=4)
    assert torch.equal(model.tokens[items], expected.sequences.view(3, 4, 4)[:, :, 1:])
    torch.testing.assert_close(scores, expected.sequences_scores.view(3, 4), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 16.0}, "Tiger.width"),
        ({"embed_dim": True}, "Tiger.embed_dim"),
        ({"heads": 3}, r"Tiger.width 16 .* Tiger.heads 3"),
        ({"layers": "2"}, "Tiger.layers"),
        ({"feed_width": 0}, "Tiger.feed_width"),
        ({"max_length": -1}, "Tiger.max_length"),
        ({"user_buckets": 0}, "Tiger.user_buckets"),
        ({"dropout": 1.0}, "Tiger.dropout"),
        ({"dropout": "0.1"}, "Tiger.dropout"),
        ({"tree_softmax": None}, "Tiger.tree_softmax"),
        ({"gated": 1}, "Tiger.gated"),
    ],
)
def test_wrong_arguments_name_their_binding(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(**changes)
