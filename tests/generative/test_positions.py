from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.errors import ConfigError
from genrec.generative.positions import BUCKETS, POSITIONS, Absolute, Alibi, Rotary, Rotation, TimeIntervals
from genrec.generative.transformer import CausalAttention

B, S, D, H = 2, 7, 8, 2


def attention() -> CausalAttention:
    torch.manual_seed(0)
    return CausalAttention(D, H).double().eval()


def x() -> torch.Tensor:
    return torch.randn(B, S, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_names_are_those_of_the_schemes() -> None:
    assert {"absolute": Absolute, "rotary": Rotary, "alibi": Alibi} == POSITIONS


def test_absolute_adds_a_vector_per_position_and_nothing_else() -> None:
    scheme = Absolute(D, H, max_length=S + 3).double()
    torch.testing.assert_close(scheme.embed(x()) - x(), scheme.table[:S].expand(B, -1, -1))
    assert scheme.turn(x()) is None
    assert scheme.bias(x()) is None


def test_rotary_is_a_product_with_complex_numbers() -> None:
    scheme = Rotary(D, H, max_length=S)
    vectors = torch.randn(B, H, S, D // H, dtype=torch.float64)
    found = scheme.turn(x())(vectors)
    for place in range(S):
        for pair, frequency in enumerate([1.0, 10_000**-0.5]):
            turned = torch.complex(vectors[..., place, pair], vectors[..., place, pair + 2])
            turned = turned * complex(math.cos(place * frequency), math.sin(place * frequency))
            torch.testing.assert_close(found[..., place, pair], turned.real)
            torch.testing.assert_close(found[..., place, pair + 2], turned.imag)
    assert scheme.embed(x()) is not None
    assert scheme.bias(x()) is None


@given(shift=st.integers(0, 50))
def test_attention_with_rotary_depends_on_distances_only(shift: int) -> None:
    scheme, layer = Rotary(D, H, max_length=S), attention()
    longer = scheme.turn(x().new_empty(1, S + shift, D))
    shifted = Rotation(longer.cos[shift:], longer.sin[shift:])
    found = layer(x(), scheme.turn(x()))
    torch.testing.assert_close(layer(x(), shifted), found)
    assert not torch.allclose(layer(x()), found)  # but it does depend on them


def test_rotary_keeps_its_precision_where_the_model_has_little() -> None:
    scheme = Rotary(D, H, max_length=1000)
    half, full = (
        scheme.turn(torch.empty(1, 1000, D, dtype=kind)) for kind in (torch.bfloat16, torch.float32)
    )
    assert half.cos.dtype == torch.bfloat16
    torch.testing.assert_close(half.cos.float(), full.cos, atol=0.01, rtol=0)


def test_rotary_turns_pairs() -> None:
    with pytest.raises(
        ConfigError, match=r"'rotary' .* Timeline.width 6 divided by Timeline.heads 2 must be even"
    ):
        Rotary(6, heads=2, max_length=S)


def test_alibi_has_the_slopes_of_the_paper() -> None:
    bias = Alibi(16, heads=8, max_length=S).bias(x())
    for head in range(8):
        for query in range(S):
            for key in range(query + 1):
                assert bias[head, query, key] == pytest.approx(-(2.0 ** -(head + 1)) * (query - key))


@given(shift=st.integers(1, S - 1))
def test_alibi_depends_on_distances_only(shift: int) -> None:
    bias = Alibi(D, H, max_length=S).bias(x())
    assert torch.equal(bias[:, shift:, shift:], bias[:, :-shift, :-shift])
    assert bias.dtype == torch.float64


def times(longest: int = 10**9) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, longest), min_size=1, max_size=6).map(sorted)


def intervals() -> TimeIntervals:
    torch.manual_seed(2)
    layer = TimeIntervals(H)
    torch.nn.init.normal_(layer.table)
    return layer


@given(events=times())
def test_a_bias_is_looked_up_by_the_logarithm_of_the_interval(events: list[int]) -> None:
    layer = intervals()
    found = layer(torch.tensor([events, [0] * len(events)]))
    assert found.shape == (2, H, len(events) + 1, len(events) + 1)
    for query, later in enumerate(events, start=1):
        assert torch.equal(found[:, :, query, 0], layer.table[:, -1].expand(2, H))
        for key, earlier in enumerate(events[:query], start=1):
            exact = 2 * math.log2(1 + later - earlier)
            near = {min(BUCKETS - 1, math.floor(exact + slack)) for slack in (-1e-4, 1e-4)}  # float32
            assert any(torch.equal(found[0, :, query, key], layer.table[:, bucket]) for bucket in near)
            assert torch.equal(found[1, :, query, key], layer.table[:, 0])


def test_seconds_days_and_years_are_told_apart() -> None:
    length = [0, 1, 2, 60, 3600, 86_400, 7 * 86_400, 365 * 86_400, 2**40]
    layer = TimeIntervals(1)
    with torch.no_grad():
        layer.table[0] = torch.arange(BUCKETS + 1)
    bucket = layer(torch.tensor(length)[None])[0, 0, 1:, 1].tolist()
    assert bucket == sorted(set(bucket))
    assert bucket[0] == 0
    assert bucket[-1] == BUCKETS - 1


@given(events=times(10**6), shift=st.integers(-(10**9), 10**9))
def test_only_differences_of_time_matter(events: list[int], shift: int) -> None:
    layer, at = intervals(), torch.tensor([events])
    assert torch.equal(layer(at + shift), layer(at))


def test_intervals_count_for_nothing_before_training_and_learn() -> None:
    layer = TimeIntervals(H)
    bias = layer(torch.tensor([[3, 9, 9]]))
    assert not bias.any()
    (bias * torch.randn(bias.shape)).sum().backward()
    used = layer.table.grad.abs().sum(0) > 0
    assert used.nonzero().flatten().tolist() == [0, 5, BUCKETS]  # 2 log2(1 + 6) = 5.6
