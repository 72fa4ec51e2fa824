"""Streaming frequencies: right in the long run, however the stream is cut, and kept by checkpoints."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genrec.errors import ConfigError
from genrec.recall.frequency import StreamingFrequency

N = 30
TRUE = np.random.default_rng(1).dirichlet(np.full(N, 0.5)) * 0.97 + 0.03 / N


def stream(n: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).choice(N, n, p=TRUE))


def heard(items: torch.Tensor, size: int, rate: float = 0.01) -> StreamingFrequency:
    frequency = StreamingFrequency(N, rate)
    for batch in torch.split(items, size):
        frequency.observe(batch)
    return frequency


@pytest.mark.parametrize("size", [60, 500])
def test_it_converges_to_the_true_frequencies(size: int) -> None:
    """An item that is in every batch, several times, too, which intervals of batches could not tell."""
    items = stream(60_000)
    found = heard(items, size, 0.002).log_q(torch.arange(N)).exp().numpy()
    assert (TRUE * 500 > 20).sum() > 3
    np.testing.assert_allclose(found, TRUE, rtol=0.25)
    assert np.abs(np.log(found / TRUE)).mean() < 0.06


def test_event_by_event_it_is_a_mean_that_becomes_a_moving_one() -> None:
    rate, last, interval, count = 0.2, 0, float(N), 0
    items = torch.tensor([3, 1, 3, 3, 2, 1, 3, 0, 0, 0, 3, 3, 1, 3])
    for now, item in enumerate(items.tolist(), start=1):
        if item == 3:
            count += 1
            interval += max(rate, 1 / (count + 1)) * (now - last - interval)
            last = now
    assert heard(items, 1, rate).interval[3].item() == pytest.approx(interval)


def test_it_follows_a_change() -> None:
    frequency = heard(torch.cat([stream(20_000), torch.randint(0, N, (20_000,))]), 100, 0.05)
    found = frequency.log_q(torch.arange(N)).exp()
    np.testing.assert_allclose(found.numpy(), 1 / N, rtol=0.8)
    assert found.std() * N < 0.3


def test_an_item_never_met_is_rarer_than_one_in_all_events() -> None:
    frequency = heard(torch.zeros(1000, dtype=torch.int64), 100)
    assert frequency.log_q(torch.tensor([5])).exp().item() == pytest.approx(1 / 1000)
    assert StreamingFrequency(N).log_q(torch.tensor([5])).exp().item() == pytest.approx(1 / N)


def test_a_checkpoint_keeps_it() -> None:
    whole, first = heard(stream(3000), 100), heard(stream(3000)[:1500], 100)
    second = StreamingFrequency(N)
    second.load_state_dict(first.state_dict())
    for batch in torch.split(stream(3000)[1500:], 100):
        second.observe(batch)
    assert set(whole.state_dict()) == {"last", "interval", "heard", "events"}
    for name, value in whole.state_dict().items():
        assert torch.equal(second.state_dict()[name], value)


@pytest.mark.parametrize("rate", [0.0, 1.5])
def test_a_bad_rate_is_named(rate: float) -> None:
    with pytest.raises(ConfigError, match=r"StreamingFrequency\.rate"):
        StreamingFrequency(N, rate)
