from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.errors import ConfigError
from genrec.generative.transformer import CausalAttention, HistoryEncoder

B, T, D = 3, 9, 8


def encoder(dropout: float = 0.0) -> HistoryEncoder:
    torch.manual_seed(0)
    return HistoryEncoder(D, heads=2, layers=2, max_length=T, dropout=dropout).eval()


@given(t=st.integers(0, T - 1))
def test_a_state_depends_on_earlier_items_only(t: int) -> None:
    model, x = encoder(), torch.randn(B, T, D)
    changed = x.clone()
    changed[:, t:] = torch.randn(B, T - t, D)
    before, after = model(x), model(changed)
    torch.testing.assert_close(after[:, : t + 1], before[:, : t + 1], rtol=0, atol=0)
    assert (after[:, t + 1] != before[:, t + 1]).any(dim=1).all()


@given(length=st.integers(0, T))
def test_padding_changes_nothing(length: int) -> None:
    model, x = encoder(), torch.randn(B, T, D)
    torch.testing.assert_close(model(x[:, :length]), model(x)[:, : length + 1], rtol=1e-5, atol=1e-5)


def test_without_items_there_is_the_state_of_the_start_vector() -> None:
    model = encoder()
    states = model(torch.empty(B, 0, D))
    assert states.shape == (B, 1, D)
    assert torch.equal(states[0], states[1])
    with torch.no_grad():
        model.start += 1.0 * torch.randn(D)
    assert not torch.allclose(model(torch.empty(B, 0, D)), states)


def test_order_matters() -> None:
    model, x = encoder(), torch.randn(B, T, D)
    assert not torch.allclose(model(x)[:, -1], model(x.flip(1))[:, -1])


def test_attention_is_softmax_over_what_came_before() -> None:
    torch.manual_seed(1)
    layer = CausalAttention(D, heads=2).double().eval()
    x = torch.randn(B, T, D, dtype=torch.float64)
    q, k, v = layer.qkv(x).split(D, dim=-1)
    mixed = torch.empty_like(x)
    for head in (slice(0, D // 2), slice(D // 2, D)):
        for t in range(T):
            weights = (q[:, t, None, head] * k[:, : t + 1, head]).sum(-1) / math.sqrt(D // 2)
            weights = weights.exp() / weights.exp().sum(-1, keepdim=True)
            mixed[:, t, head] = (weights[..., None] * v[:, : t + 1, head]).sum(1)
    torch.testing.assert_close(layer(x), layer.out(mixed))


def test_dropout_acts_in_training_only() -> None:
    model, x = encoder(dropout=0.5), torch.randn(B, T, D)
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match=r"Timeline.width 8 .* Timeline.heads 3"):
        HistoryEncoder(8, heads=3, layers=1, max_length=4, dropout=0.0)
