from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from genrec.errors import ConfigError
from genrec.generative.positions import POSITIONS, Rotary
from genrec.generative.transformer import CausalAttention, HistoryEncoder

B, T, D = 3, 9, 8
SCHEMES = pytest.mark.parametrize(
    ("positions", "time_intervals"),
    [(name, intervals) for name in POSITIONS for intervals in (False, True)],
)


def encoder(
    positions: str = "absolute",
    time_intervals: bool = False,
    *,
    layers: int = 2,
    max_length: int = T,
    dropout: float = 0.0,
) -> HistoryEncoder:
    torch.manual_seed(0)
    model = HistoryEncoder(D, 2, layers, max_length, dropout, positions, time_intervals).eval()
    if model.intervals is not None:
        torch.nn.init.normal_(model.intervals.table)  # it starts at 0, where times mean nothing
    return model


def clock(seed: int = 0) -> Tensor:
    """Ascending times [B, T]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(10**7, (B, T), generator=generator).cumsum(1)


@SCHEMES
@given(t=st.integers(0, T - 1), what=st.sampled_from(["items", "times"]))
def test_a_state_depends_on_earlier_items_only(
    positions: str, time_intervals: bool, t: int, what: str
) -> None:
    model, x, times = encoder(positions, time_intervals), torch.randn(B, T, D), clock()
    other, later = x.clone(), times.clone()
    if what == "items":
        other[:, t:] = torch.randn(B, T - t, D)
    else:
        later[:, t:] += torch.randint(10**9, (B, T - t))
    before, after = model(x, times), model(other, later)
    torch.testing.assert_close(after[:, : t + 1], before[:, : t + 1], rtol=0, atol=0)
    # the first item's time alone says nothing: there is nothing to compare it with
    if what == "items" or (time_intervals and t > 0):
        assert (after[:, t + 1] != before[:, t + 1]).any(dim=1).all()


@SCHEMES
@given(length=st.integers(0, T))
def test_padding_changes_nothing(positions: str, time_intervals: bool, length: int) -> None:
    model, x, times = encoder(positions, time_intervals), torch.randn(B, T, D), clock()
    padded = times.masked_fill(torch.arange(T) >= length, 0)
    short = model(x[:, :length], times[:, :length])
    torch.testing.assert_close(short, model(x, padded)[:, : length + 1], rtol=1e-5, atol=1e-5)


@SCHEMES
def test_without_items_there_is_the_state_of_the_start_vector(positions: str, time_intervals: bool) -> None:
    model = encoder(positions, time_intervals)
    x, times = torch.empty(B, 0, D), torch.empty(B, 0, dtype=torch.int64)
    states = model(x, times)
    assert states.shape == (B, 1, D)
    assert torch.equal(states[0], states[1])
    with torch.no_grad():
        model.start += 1.0 * torch.randn(D)
    assert not torch.allclose(model(x, times), states)


@SCHEMES
def test_order_matters(positions: str, time_intervals: bool) -> None:
    """Of the items before the last, in one layer, which knows of it by their positions alone."""
    model, x = encoder(positions, time_intervals, layers=1), torch.randn(B, T, D)
    other = torch.cat([x[:, :-1].flip(1), x[:, -1:]], dim=1)
    assert not torch.allclose(model(x, clock())[:, -1], model(other, clock())[:, -1])


@pytest.mark.parametrize("positions", ["rotary", "alibi"])
@pytest.mark.parametrize("time_intervals", [False, True])
def test_longer_histories_than_it_was_made_for(positions: str, time_intervals: bool) -> None:
    x, times = torch.randn(B, T, D), clock()
    short, long = (encoder(positions, time_intervals, max_length=length) for length in (2, T))
    assert torch.equal(short(x, times), long(x, times))


def test_when_the_clock_started_does_not_matter() -> None:
    model, x = encoder(time_intervals=True), torch.randn(B, T, D)
    assert torch.equal(model(x, clock() + 10**9), model(x, clock()))
    assert not torch.allclose(model(x, clock(1)), model(x, clock()))


def test_untrained_intervals_change_nothing() -> None:
    x = torch.randn(B, T, D)
    with_times = encoder(time_intervals=True)
    torch.nn.init.zeros_(with_times.intervals.table)
    torch.testing.assert_close(with_times(x, clock()), encoder()(x))


def test_intervals_need_times() -> None:
    with pytest.raises(
        ConfigError, match=r"Timeline.time_intervals = True needs a timestamp .* set it to False"
    ):
        encoder(time_intervals=True)(torch.randn(B, T, D))


@SCHEMES
def test_weights_are_all_there_is_to_a_model(positions: str, time_intervals: bool) -> None:
    model, x = encoder(positions, time_intervals), torch.randn(B, T, D)
    torch.manual_seed(1)
    again = HistoryEncoder(D, 2, 2, T, 0.0, positions, time_intervals).eval()
    again.load_state_dict(dict(model.named_parameters()))  # strict: nothing else is kept
    assert torch.equal(again(x, clock()), model(x, clock()))


@SCHEMES
def test_every_weight_learns(positions: str, time_intervals: bool) -> None:
    model = encoder(positions, time_intervals)
    model(torch.randn(B, T, D), clock()).square().sum(-1).log().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@given(turned=st.booleans(), biased=st.booleans())
def test_attention_is_softmax_over_what_came_before(turned: bool, biased: bool) -> None:
    torch.manual_seed(1)
    layer = CausalAttention(D, heads=2).double().eval()
    x = torch.randn(B, T, D, dtype=torch.float64)
    turn = Rotary(D, 2, T).turn(x) if turned else None
    bias = torch.randn(B, 2, T, T, dtype=torch.float64) if biased else torch.zeros(B, 2, T, T).double()
    q, k, v = layer.qkv(x).split(D, dim=-1)
    mixed = torch.empty_like(x)
    for number, head in enumerate((slice(0, D // 2), slice(D // 2, D))):
        one, other = (
            (q[..., head], k[..., head]) if turn is None else (turn(q[..., head]), turn(k[..., head]))
        )
        for t in range(T):
            logits = (one[:, t, None] * other[:, : t + 1]).sum(-1) / math.sqrt(D // 2)
            weights = (logits + bias[:, number, t, : t + 1]).exp()
            weights = weights / weights.sum(-1, keepdim=True)
            mixed[:, t, head] = (weights[..., None] * v[:, : t + 1, head]).sum(1)
    after = torch.full((T, T), -torch.inf, dtype=torch.float64).triu(1)
    found = layer(x, turn, bias + after if biased else None)
    torch.testing.assert_close(found, layer.out(mixed))


def test_dropout_acts_in_training_only() -> None:
    model, x = encoder(dropout=0.5), torch.randn(B, T, D)
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match=r"Timeline.width 8 .* Timeline.heads 3"):
        HistoryEncoder(8, heads=3, layers=1, max_length=4, dropout=0.0)


def test_names_of_positions_are_known() -> None:
    with pytest.raises(
        ConfigError, match=r"Timeline.positions must be one of absolute, rotary, alibi, got 'polar'"
    ):
        encoder("polar")
