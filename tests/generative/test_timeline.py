from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from trees import window

from genrec.errors import ConfigError
from genrec.generative.search import beam_search, exact_log_probs
from genrec.generative.timeline import Timeline
from genrec.generative.tree import CodeTree

N = 12
CODES = np.random.default_rng(0).permutation(27)[:N]
TREE = CodeTree.of(np.stack(np.unravel_index(CODES, (3, 3, 3)), axis=1), (3, 3, 3))
FEATURES = {"text": torch.randn(N, 5, generator=torch.Generator().manual_seed(0))}
SMALL = {"embed_dim": 8, "width": 16, "heads": 2, "layers": 1, "max_length": 8, "dropout": 0.0}


PLAIN = {"tree_softmax": False, "node_keys": False, "repeat": False}


def small(features: dict[str, Tensor] | None = FEATURES, **changes: Any) -> Timeline:
    torch.manual_seed(0)
    return Timeline(TREE, features, **SMALL | changes)


def cycles(rows: int, length: int, seed: int) -> Tensor:
    """Histories in which item i is followed by item i + 1."""
    start = torch.randint(N, (rows, 1), generator=torch.Generator().manual_seed(seed))
    return (start + torch.arange(length)) % N


@pytest.mark.parametrize(
    "changes",
    [
        {},
        PLAIN | {"negatives": 4, "inputs": ["codes", "ids"]},
        {"decoder": "attention", "positions": "rotary"},
        PLAIN | {"decoder": "parallel", "positions": "alibi"},
    ],
)
def test_a_deterministic_pattern_is_learned_by_both_heads(changes: dict[str, Any]) -> None:
    model = small(**changes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for step in range(200):
        optimizer.zero_grad()
        model(window(cycles(16, 6, step)), torch.zeros(16, dtype=torch.int64))["loss"].backward()
        optimizer.step()
    histories = torch.arange(N)[:, None].add(torch.arange(3)) % N
    following = (histories[:, -1] + 1) % N
    state = model.eval().last_state(window(histories))
    for scorer in (model.scorer(window(histories)), model.scorer_of(state, window(histories))):
        items, _ = beam_search(scorer, TREE, width=2, k=1)
        assert torch.equal(items[:, 0], following)
    nearest = (model.query_vectors(state) @ model.item_vectors().T).argmax(1)
    assert torch.equal(nearest, following)


@pytest.mark.parametrize("length", [1, 2, 6])
@pytest.mark.parametrize("code_weight", [0.0, 2.0])
@torch.no_grad()
def test_loss_is_the_mean_over_targets_of_the_state_before_each(length: int, code_weight: float) -> None:
    model = small(code_weight=code_weight, dense_weight=0.5, label_smoothing=0.1)
    items = cycles(3, length, 0)
    items[1, 1:] = -1
    first = torch.tensor([0, 0, length - 1])  # of the last window, the last item alone is a target
    targets = [(row, t) for row in range(3) for t in range(int(first[row]), length) if items[row, t] >= 0]
    state = torch.stack([model.last_state(window(items[row : row + 1, :t]))[0] for row, t in targets])
    item = torch.stack([items[row, t] for row, t in targets])
    pairs = [(m, int(one)) for m, (row, t) in enumerate(targets) for one in set(items[row, :t].tolist())]
    before = (
        tuple(torch.tensor(part, dtype=torch.int64) for part in zip(*pairs, strict=True)) if pairs else None
    )
    found = model(window(items), first)
    assert model.dense is not None
    vectors = model.items(torch.arange(N))
    expected = 0.5 * model.dense.loss(state, item, vectors, before)  # type: ignore[arg-type]
    torch.testing.assert_close(found["dense"], 2 * expected)
    if model.generator is not None:
        levels = model.generator.losses(TREE, state, item, before, vectors)  # type: ignore[arg-type]
        torch.testing.assert_close(
            torch.stack([found[f"code/{level}"] for level in range(3)]), torch.stack(levels)
        )
        expected = expected + code_weight * sum(levels)
    torch.testing.assert_close(found["loss"], expected)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dense_weight": 0.0},
        {"code_weight": 0.0},
        {"negatives": 3},
        {"inputs": ["codes"]},
        {"decoder": "attention"},
        PLAIN | {"decoder": "parallel"},
        {"embed_dim": 16, "label_smoothing": 0.1} | PLAIN,
    ],
)
def test_gradient_reaches_every_parameter(changes: dict[str, Any]) -> None:
    """A parameter that no loss touches would be dead weight, and an error with several processes."""
    model = small(**changes)
    for parameter in model.parameters():  # zeros at the start would stop gradients for a reason of their own
        torch.nn.init.normal_(parameter, std=0.3)
    model(window(cycles(16, model.max_length + 1, 0)), torch.zeros(16, dtype=torch.int64))["loss"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@given(lengths=st.lists(st.integers(0, 8), min_size=1, max_size=5))
@torch.no_grad()
def test_last_state_ignores_padding_and_company(lengths: list[int]) -> None:
    model = small().eval()
    histories = cycles(len(lengths), 8, 1)
    padded = torch.where(torch.arange(8) < torch.tensor(lengths)[:, None], histories, -1)
    together = model.last_state(window(padded))
    for row, length in enumerate(lengths):
        alone = model.last_state(window(histories[row : row + 1, :length]))
        torch.testing.assert_close(together[row], alone[0], rtol=1e-4, atol=1e-5)


def test_codes_and_tree_are_those_of_the_ids_and_move_with_the_model() -> None:
    model = small()
    np.testing.assert_array_equal(model.tree.codes(), np.stack(np.unravel_index(CODES, (3, 3, 3)), axis=1))
    assert model.double().tree.item_path.dtype == torch.int32
    moved = small().to("meta").tree
    assert {moved.leaf_item.device.type, moved.item_path.device.type, moved.child_code[0].device.type} == {
        "meta"
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "Timeline.width"),
        ({"width": 16.0}, "Timeline.width"),
        ({"embed_dim": True}, "Timeline.embed_dim"),
        ({"heads": 3}, r"Timeline.width 16 .* Timeline.heads 3"),
        ({"layers": "2"}, "Timeline.layers"),
        ({"max_length": -1}, "Timeline.max_length"),
        ({"negatives": 0}, "Timeline.negatives"),
        ({"dropout": 1.0}, "Timeline.dropout"),
        ({"dropout": "0.1"}, "Timeline.dropout"),
        ({"label_smoothing": -0.1}, "Timeline.label_smoothing"),
        ({"inputs": ["smell"]}, "Timeline.inputs"),
        ({"node_keys": 1}, "Timeline.node_keys"),
        ({"decoder": "parallel"}, r"needs Timeline.tree_softmax = False"),
        ({"decoder": "magic"}, "Timeline.decoder must be one of mlp"),
        ({"positions": "polar"}, "Timeline.positions must be one of absolute"),
        ({"tree_softmax": None}, "Timeline.tree_softmax"),
        ({"code_weight": -1.0}, "Timeline.code_weight"),
        ({"dense_weight": float("nan")}, "Timeline.dense_weight"),
        ({"dense_weight": float("inf")}, "Timeline.dense_weight"),
        ({"code_weight": 0.0, "dense_weight": 0}, "nothing to learn"),
        ({"features": {"text": torch.zeros(N + 1, 5)}}, r"Timeline.features\['text'\] has 13 rows"),
    ],
)
def test_wrong_arguments_name_their_binding(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(**changes)


def test_a_head_that_was_left_out_is_named_when_asked() -> None:
    state = torch.zeros(1, 16)
    with pytest.raises(ConfigError, match=r"Timeline.code_weight > 0"):
        small(code_weight=0.0).scorer_of(state, window(torch.zeros(1, 1, dtype=torch.int64)))
    without = small(dense_weight=0.0)
    with pytest.raises(ConfigError, match=r"Timeline.dense_weight > 0"):
        without.item_vectors()
    with pytest.raises(ConfigError, match=r"Timeline.dense_weight > 0"):
        without.query_vectors(state)


def test_within_fixed_weights_nothing_changes_and_after_it_they_may() -> None:
    model = small().eval()
    histories = window(torch.tensor([[0, 1], [2, -1]]))
    expected = exact_log_probs(model.scorer(histories), model.tree)
    with model.fixed():
        for _ in range(2):
            assert torch.equal(exact_log_probs(model.scorer(histories), model.tree), expected)
    with torch.no_grad():
        assert model.items.ids is not None
        model.items.ids.weight.normal_()
    assert not torch.equal(exact_log_probs(model.scorer(histories), model.tree), expected)
