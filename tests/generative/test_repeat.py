from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from trees import window

from genrec.generative.repeat import RepeatWeight, taken, taken_before

HISTORIES = st.lists(st.lists(st.integers(0, 4), max_size=5), min_size=1, max_size=4)


def padded(histories: list[list[int]]) -> torch.Tensor:
    longest = max(1, *(len(history) for history in histories))
    return torch.tensor([history + [-1] * (longest - len(history)) for history in histories])


@given(histories=HISTORIES, first=st.integers(0, 3))
def test_pairs_are_the_distinct_items_before_each_target(histories: list[list[int]], first: int) -> None:
    items = padded(histories)
    targets = (items >= 0) & (torch.arange(items.shape[1]) >= first)
    target, item = taken_before(items, targets)
    expected = [set(history[:t]) for history in histories for t in range(first, len(history))]
    found: list[list[int]] = [[] for _ in expected]
    for row, one in zip(target.tolist(), item.tolist(), strict=True):
        found[row].append(one)
    assert [sorted(one) for one in found] == [sorted(one) for one in expected]


@given(histories=HISTORIES)
def test_taken_are_the_distinct_items_of_a_history(histories: list[list[int]]) -> None:
    row, item = taken(window(padded(histories)), 5)
    pairs = [(user, one) for user, history in enumerate(histories) for one in sorted(set(history))]
    assert list(zip(row.tolist(), item.tolist(), strict=True)) == pairs


def test_never_again_is_learned_in_a_short_training() -> None:
    """At a parameter's usual pace, 1,000 steps would leave a repeat e^-1 times as likely as another item."""
    weight = RepeatWeight(1)
    optimizer = torch.optim.AdamW(weight.parameters(), lr=1e-3)
    for _ in range(1000):
        loss = torch.nn.functional.softplus(
            weight()
        ).sum()  # of two like items, the one not taken is the target
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert weight().sigmoid().item() < 0.01
