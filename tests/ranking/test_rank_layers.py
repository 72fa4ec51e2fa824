"""Layers: Dice's statistics, and what padding may not do."""

from __future__ import annotations

import pytest
import torch

from genrec.errors import ConfigError
from genrec.ranking.layers import (
    Dice,
    Experts,
    MatrixCross,
    MixtureCross,
    Mlp,
    TargetAttention,
    pairwise_term,
)


def test_dice_standardises_over_the_batch_and_remembers() -> None:
    torch.manual_seed(0)
    layer, x = Dice(3).double(), 2 + 3 * torch.randn(500, 3, dtype=torch.float64)
    with torch.no_grad():
        layer.alpha.fill_(0.25)
    p = torch.sigmoid((x - x.mean(0)) / (x.var(0, correction=0) + 1e-8).sqrt())
    assert torch.allclose(layer(x), p * x + 0.25 * (1 - p) * x)
    assert torch.allclose(layer.mean, 0.1 * x.mean(0))
    for _ in range(100):
        layer(x)
    assert torch.allclose(layer.eval()(x), p * x + 0.25 * (1 - p) * x, atol=1e-2)


def test_dice_takes_one_row_and_none() -> None:
    layer = Dice(2)
    assert torch.equal(layer(torch.zeros(1, 2)), torch.zeros(1, 2))
    assert layer(torch.zeros(0, 2)).shape == (0, 2)
    assert torch.equal(layer.mean, torch.zeros(2))


def test_padding_changes_neither_what_is_attended_to_nor_dices_statistics() -> None:
    torch.manual_seed(0)
    history, target = torch.randn(4, 3, 2), torch.randn(4, 2)
    mask = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 1]]).bool()
    layer = TargetAttention(2, (4, 3))
    statistics = []
    found = []
    for filler in (0.0, 1e6):
        padded = torch.cat(
            [history.masked_fill(~mask[..., None], filler), torch.full((4, 2, 2), filler)], dim=1
        )
        longer = torch.cat([mask, torch.zeros(4, 2).bool()], dim=1)
        fresh = TargetAttention(2, (4, 3))
        fresh.load_state_dict(layer.state_dict())
        found.append(fresh(padded, longer, target))
        statistics.append(fresh.rest[0].mean.clone())
    assert torch.equal(found[0], found[1])
    assert torch.equal(statistics[0], statistics[1])
    assert torch.equal(found[0][2], torch.zeros(2))


@pytest.mark.parametrize("softmax", [False, True])
def test_a_batch_without_any_history_attends_to_nothing(softmax: bool) -> None:
    layer = TargetAttention(2, (4,), softmax=softmax)
    found = layer(torch.randn(3, 5, 2), torch.zeros(3, 5).bool(), torch.randn(3, 2))
    assert torch.equal(found, torch.zeros(3, 2))
    found.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters() if p.grad is not None)


def test_normalised_attention_is_an_average() -> None:
    layer = TargetAttention(2, (4,), softmax=True).eval()
    same = torch.tensor([[[1.0, 2.0]] * 3])
    mask = torch.tensor([[True, True, False]])
    assert torch.allclose(layer(same, mask, torch.randn(1, 2)), same[:, 0])


def test_one_field_has_no_pairs() -> None:
    assert torch.equal(pairwise_term(torch.randn(3, 1, 4).double()), torch.zeros(3, dtype=torch.float64))


def test_a_mixture_of_equal_experts_is_one_of_them() -> None:
    torch.manual_seed(0)
    one, three = MixtureCross(4, 2, 2, 1).double(), MixtureCross(4, 2, 2, 3).double()
    with torch.no_grad():
        for name in ("u", "v", "c"):
            getattr(three, name).copy_(getattr(one, name).expand_as(getattr(three, name)))
        three.gate.normal_()
    x = torch.randn(5, 4, dtype=torch.float64)
    assert torch.allclose(one(x), three(x))


def test_a_cross_layer_of_zeros_is_the_identity() -> None:
    cross = MatrixCross(3, 2)
    for layer in cross.layers:
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    x = torch.randn(4, 3)
    assert torch.equal(cross(x), x)


def test_experts_side_by_side_are_mlps() -> None:
    torch.manual_seed(0)
    experts, x = Experts(2, 3, (4, 5)), torch.randn(6, 3)
    for number, found in enumerate(experts(x)):
        alone = Mlp(3, (4, 5), None)
        for layer, linear in enumerate((alone[0], alone[2])):
            linear.weight.data = experts.weights[layer][number].T
            linear.bias.data = experts.biases[layer][number, 0]
        assert torch.allclose(alone(x), found, atol=1e-6)


def test_an_mlp_without_hidden_layers_is_linear() -> None:
    layer = Mlp(3, (), 2)
    assert [type(one) for one in layer] == [torch.nn.Linear]
    assert (Mlp(3, (), None).width, layer.width, Mlp(3, (4,), None).width) == (3, 2, 4)


def test_experts_need_a_layer() -> None:
    with pytest.raises(ConfigError, match="at least one expert of one layer"):
        Experts(2, 3, ())
