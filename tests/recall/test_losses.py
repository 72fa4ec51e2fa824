"""Losses of two towers: their formulas, worked out naively, and what the correction for popularity does."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from genrec.errors import ConfigError
from genrec.recall.losses import (
    Bpr,
    InBatchSoftmax,
    InfoNce,
    MixedSoftmax,
    PairLoss,
    Pairs,
    hardest,
    sampled_softmax,
)

B, D, N = 5, 4, 40


def batch(drawn: int = 0, *, seed: int = 0, q: Tensor | None = None) -> Pairs:
    """Rows 0 and 3 have the same item, and drawn item 0 is that of row 1; all other items differ."""
    generator = torch.Generator().manual_seed(seed)
    items = torch.cat([torch.tensor([7, 8, 9, 7, 10]), 20 + torch.arange(drawn)])
    if drawn:
        items[B] = 8
    table = torch.randn(N, D, generator=generator, dtype=torch.float64)
    q = torch.rand(N, generator=generator, dtype=torch.float64) if q is None else q
    users = torch.randn(B, D, generator=generator, dtype=torch.float64)
    return Pairs(users, table[items], (q / q.sum()).log()[items], items[:B, None] != items, N)


def by_hand(logits: Tensor, negative: Tensor) -> float:
    """Mean of -log softmax of column i in row i, over it and the row's negatives; one row at a time."""
    losses = []
    for row in range(len(logits)):
        others = sum(math.exp(x) for x, is_one in zip(logits[row], negative[row], strict=True) if is_one)
        own = math.exp(logits[row, row])
        losses.append(-math.log(own / (own + others)))
    return float(np.mean(losses))


def test_in_batch_softmax_subtracts_log_q_from_every_logit() -> None:
    pairs = batch()
    scores = pairs.users @ pairs.items.T / 0.5
    assert InBatchSoftmax(0.5)(pairs).item() == pytest.approx(
        by_hand(scores - pairs.log_q, pairs.negative), abs=1e-9
    )
    assert InBatchSoftmax(0.5, log_q=False)(pairs).item() == pytest.approx(by_hand(scores, pairs.negative))


def test_the_correction_relieves_popular_negatives_and_asks_more_of_rare_positives() -> None:
    """All scores alike: a popular item must be pushed down less than a rare one, and be pulled up the more."""
    q = torch.full((N,), 0.01, dtype=torch.float64)
    q[8], q[9] = 0.5, 0.001
    pairs = batch(q=q)
    items = torch.zeros_like(pairs.items).requires_grad_()
    users = torch.ones_like(pairs.users)
    InBatchSoftmax(1.0)(pairs._replace(items=items, users=users)).backward()
    down = torch.autograd.functional.jacobian(
        lambda items: InBatchSoftmax(1.0)(pairs._replace(items=items, users=users)), torch.zeros_like(items)
    )[:, 0]
    assert items.grad is not None
    # item 8 gains as a positive more than others push it down; the rare item 9 loses
    assert items.grad[1, 0] < items.grad[4, 0] < items.grad[2, 0]
    assert down[1] < 0 < down[2]


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_a_uniform_q_changes_nothing(temperature: float) -> None:
    pairs = batch(q=torch.ones(N, dtype=torch.float64))
    plain = InBatchSoftmax(temperature, log_q=False)(pairs)
    assert InBatchSoftmax(temperature)(pairs).item() == pytest.approx(plain.item())
    mixed = batch(6, q=torch.ones(N, dtype=torch.float64))
    logits = mixed.users @ mixed.items.T / temperature
    assert MixedSoftmax(temperature, drawn=6)(mixed).item() == pytest.approx(by_hand(logits, mixed.negative))


@pytest.mark.parametrize(
    "loss", [InBatchSoftmax(), InfoNce(both_ways=False), MixedSoftmax(drawn=3), Bpr(drawn=3)]
)
def test_what_is_no_negative_has_no_part_in_a_row(loss: PairLoss) -> None:
    """Row 0 meets its own item in column 3, row 1 its own in the first drawn column: accidental hits."""
    pairs = batch(loss.drawn)
    pairs.negative[2] = False  # all that this user has taken
    for row, column in ((0, 3), (3, 0), (2, 4), *([(1, B)] if loss.drawn else [])):
        alone = torch.zeros(B, 1, dtype=torch.float64)
        alone[row] = 1.0  # of the others, scores are 0 whatever the items are
        items = pairs.items.clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss(pairs._replace(items=items, users=pairs.users * alone)), items)
        assert slope[column].abs().max().item() == pytest.approx(0, abs=1e-12)
        assert slope[row].abs().max() > 0 or row == 2


def test_mixed_softmax_corrects_by_the_mixture() -> None:
    drawn = 6
    pairs = batch(drawn)
    q = (B * pairs.log_q.exp() + drawn / N) / (B + drawn)
    logits = pairs.users @ pairs.items.T / 0.2 - q.log()
    assert MixedSoftmax(0.2, drawn)(pairs).item() == pytest.approx(by_hand(logits, pairs.negative))


def test_the_mixture_estimates_the_softmax_over_the_catalogue() -> None:
    """Batch items drawn by q and uniform ones: corrected, their mean of exp(score) is that of all items."""
    rng, rows, drawn = np.random.default_rng(3), 900, 600
    q = rng.dirichlet(np.full(N, 0.3)) * 0.99 + 0.01 / N
    items = torch.from_numpy(np.concatenate([rng.choice(N, rows, p=q), rng.integers(N, size=drawn)]))
    generator = torch.Generator().manual_seed(0)
    table, user = torch.randn(N + 1, D, generator=generator, dtype=torch.float64).split([N, 1])
    log_q = torch.from_numpy(np.log(q))[items]
    negative = torch.ones(rows, rows + drawn, dtype=torch.bool)
    found = MixedSoftmax(1.0, drawn)(Pairs(user.expand(rows, D), table[items], log_q, negative, N))
    logits = (table @ user.T).ravel()
    own = logits[items[:rows]]
    mixture = (rows * log_q[:rows].exp() + drawn / N) / (rows + drawn)
    # -log of exp(own) / q over the sum of exp(s_j) / q_j, which has rows + drawn terms
    expected = (logits.logsumexp(0) + math.log(rows + drawn) - own + mixture.log()).mean()
    assert found.item() == pytest.approx(expected.item(), abs=0.05)


def test_infonce_looks_both_ways() -> None:
    pairs = batch()
    logits = pairs.users @ pairs.items.T / 0.3
    items, users = by_hand(logits, pairs.negative), by_hand(logits.T, pairs.negative.T)
    assert InfoNce(0.3, both_ways=False)(pairs).item() == pytest.approx(items)
    assert InfoNce(0.3)(pairs).item() == pytest.approx((items + users) / 2)


def test_bpr_is_the_mean_over_pairs_of_an_item_taken_and_one_that_was_not() -> None:
    pairs = batch(6)
    scores = (pairs.users @ pairs.items.T / 0.5).tolist()
    losses = [
        math.log1p(math.exp(scores[row][B + place] - scores[row][row]))
        for row in range(B)
        for place in range(6)
        if pairs.negative[row, B + place]
    ]
    assert len(losses) == B * 6 - 1
    assert Bpr(6, temperature=0.5)(pairs).item() == pytest.approx(np.mean(losses))


def test_hard_negatives_are_the_best_scored() -> None:
    scores = torch.tensor([[1.0, 5.0, 3.0, 4.0], [0.0, -1.0, -2.0, -3.0]])
    assert hardest(scores, 0.5).tolist() == [[5.0, 4.0], [0.0, -1.0]]
    assert hardest(scores, 0.01).tolist() == [[5.0], [0.0]]
    pairs = batch(8)
    assert Bpr(8, hard=0.25)(pairs) > Bpr(8)(pairs)
    few, all_of_them = MixedSoftmax(1.0, 8, hard=0.25)(pairs), MixedSoftmax(1.0, 8)(pairs)
    assert few < all_of_them
    best = (pairs.users @ pairs.items[B:].T).masked_fill(~pairs.negative[:, B:], -torch.inf).argmax(1)
    items = pairs.items.clone().requires_grad_()
    (slope,) = torch.autograd.grad(Bpr(8, hard=0.01)(pairs._replace(items=items)), items)
    touched = torch.nonzero(slope[B:].abs().sum(1)).ravel()
    assert touched.tolist() == sorted(set(best.tolist()))


@pytest.mark.parametrize(
    "loss",
    [
        InBatchSoftmax(0.5),
        MixedSoftmax(0.5, drawn=6),
        MixedSoftmax(0.5, drawn=6, hard=0.5),
        InfoNce(0.5),
        Bpr(6),
        Bpr(6, hard=0.5),
    ],
)
def test_gradients(loss: PairLoss) -> None:
    pairs = batch(loss.drawn)
    pairs.negative[2] = False  # a row without a negative has no gradient, and no NaN either
    users, items = pairs.users.clone().requires_grad_(), pairs.items.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda users, items: loss(pairs._replace(users=users, items=items)), (users, items)
    )


def test_sampled_softmax() -> None:
    own, others = torch.randn(3, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)
    negative = torch.rand(3, 6) < 0.6
    negative[1] = False
    expected = [
        math.log(
            1 + sum(math.exp(others[row, place] - own[row]) for place in range(6) if negative[row, place])
        )
        for row in range(3)
    ]
    assert sampled_softmax(own, others, negative).item() == pytest.approx(np.mean(expected))
    own.requires_grad_()
    others.requires_grad_()
    assert torch.autograd.gradcheck(lambda own, others: sampled_softmax(own, others, negative), (own, others))


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: InBatchSoftmax(0), "InBatchSoftmax.temperature"),
        (lambda: MixedSoftmax(-1), "MixedSoftmax.temperature"),
        (lambda: MixedSoftmax(drawn=0), "MixedSoftmax.drawn"),
        (lambda: MixedSoftmax(hard=0), "MixedSoftmax.hard"),
        (lambda: InfoNce(float("nan")), "InfoNce.temperature"),
        (lambda: Bpr(drawn=0), "Bpr.drawn"),
        (lambda: Bpr(hard=1.1), "Bpr.hard"),
    ],
)
def test_bad_settings_are_named(make: object, argument: str) -> None:
    with pytest.raises(ConfigError, match=argument):
        make()  # type: ignore[operator]
