"""Losses against their definitions with plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from genrec.errors import ConfigError
from genrec.ranking.losses import (
    Bce,
    BprWithinUser,
    ListwiseSoftmax,
    Targets,
    UncertaintyWeighted,
    pairs_within,
)


def softplus(x: float) -> float:
    return math.log1p(math.exp(-abs(x))) + max(x, 0.0)


rows = st.lists(
    st.tuples(st.integers(0, 3), st.booleans(), st.floats(-5, 5), st.floats(0.1, 3)), min_size=1, max_size=12
)
Rows = list[tuple[int, bool, float, float]]


def columns(some: Rows, weighted: bool = True) -> tuple[Tensor, Targets]:
    users, good, logits, weights = zip(*some, strict=True)
    return torch.tensor(logits, dtype=torch.float64), Targets(
        torch.tensor(good, dtype=torch.float64),
        torch.tensor(users),
        torch.tensor(weights, dtype=torch.float64) if weighted else None,
    )


def mean(values: list[float], weights: list[float]) -> float:
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights) if values else 0.0


@given(rows, st.booleans())
def test_bce_is_the_mean_negative_log_likelihood(some: Rows, weighted: bool) -> None:
    expected = mean(
        [softplus(-z if y else z) for _, y, z, _ in some], [w if weighted else 1 for *_, w in some]
    )
    assert float(Bce()(*columns(some, weighted))["loss"]) == pytest.approx(expected, rel=1e-6)


@given(rows, st.booleans())
def test_bpr_compares_every_pair_within_a_user(some: Rows, weighted: bool) -> None:
    values, weights = [], []
    for user, good, z, w in some:
        for other, bad, other_z, _ in some:
            if good and user == other and not bad:
                values.append(softplus(other_z - z))
                weights.append(w if weighted else 1.0)
    found = float(BprWithinUser()(*columns(some, weighted))["loss"])
    assert found == pytest.approx(mean(values, weights), rel=1e-6)


@given(rows)
def test_pairs_are_each_found_once(some: Rows) -> None:
    users, good = [r[0] for r in some], [r[1] for r in some]
    found = pairs_within(torch.tensor(users), torch.tensor(good))
    expected = [
        (i, j)
        for i in range(len(some))
        for j in range(len(some))
        if users[i] == users[j] and good[i] and not good[j]
    ]
    assert sorted(zip(found[0].tolist(), found[1].tolist(), strict=True)) == expected


@given(rows, st.booleans(), st.sampled_from([1.0, 0.5]))
def test_listwise_is_a_softmax_over_the_users_rows(some: Rows, weighted: bool, temperature: float) -> None:
    values, weights = [], []
    for user, good, z, w in some:
        if good:
            total = sum(math.exp(other[2] / temperature) for other in some if other[0] == user)
            values.append(math.log(total) - z / temperature)
            weights.append(w if weighted else 1.0)
    found = float(ListwiseSoftmax(temperature)(*columns(some, weighted))["loss"])
    assert found == pytest.approx(mean(values, weights), rel=1e-6, abs=1e-9)


def test_large_logits_do_not_overflow() -> None:
    logits = torch.tensor([1e4, -1e4], requires_grad=True)
    targets = Targets(torch.tensor([0.0, 1.0]), torch.tensor([0, 0]))
    for loss in (Bce(), BprWithinUser(), ListwiseSoftmax()):
        value = loss(logits, targets)["loss"]
        (gradient,) = torch.autograd.grad(value, logits)
        assert torch.isfinite(value)
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("loss", [BprWithinUser(), ListwiseSoftmax()])
def test_a_batch_that_teaches_nothing_has_no_gradient(loss: BprWithinUser | ListwiseSoftmax) -> None:
    logits = torch.randn(3, requires_grad=True)
    value = loss(logits, Targets(torch.zeros(3), torch.arange(3)))["loss"]
    value.backward()
    assert float(value.detach()) == 0
    assert torch.equal(logits.grad, torch.zeros(3))


@pytest.mark.parametrize("loss", [Bce(), BprWithinUser(), ListwiseSoftmax()])
def test_gradients_are_those_of_the_function(loss: torch.nn.Module) -> None:
    torch.manual_seed(0)
    users, labels = torch.randint(3, (9,)), torch.rand(9).round().double()
    targets = Targets(labels, users, torch.rand(9).double() + 0.1)
    logits = torch.randn(9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: loss(z, targets)["loss"], logits)


NAN = float("nan")
TASKS = Targets(
    torch.tensor([1.0, 0.0, 1.0]),
    torch.arange(3),
    None,
    {"rating": torch.tensor([4.0, NAN, 2.0]), "soon": torch.tensor([NAN] * 3)},
)


def test_uncertainty_weighs_the_tasks() -> None:
    loss = UncertaintyWeighted({"like": "binary", "rating": "regression"}).double()
    with torch.no_grad():
        loss.log_variance.copy_(torch.tensor([0.3, -0.7]))
    logits = torch.tensor([[1.0, 3.0], [2.0, 9.0], [-1.0, 2.5]], dtype=torch.float64)
    like = (softplus(-1.0) + softplus(2.0) + softplus(1.0)) / 3
    rating = 0.5 * (1.0**2 + 0.5**2) / 2  # the second row's rating is unknown
    found = loss(logits, TASKS)
    expected = math.exp(-0.3) * like + 0.15 + math.exp(0.7) * rating - 0.35
    assert float(found["loss"].detach()) == pytest.approx(expected, rel=1e-6)
    assert float(found["loss/like"]) == pytest.approx(like, rel=1e-6)
    assert float(found["loss/rating"]) == pytest.approx(rating, rel=1e-6)


def test_the_best_variance_is_the_error_that_is_left() -> None:
    loss = UncertaintyWeighted({"rating": "regression"})
    errors = torch.randn(400) * 2
    targets = Targets(torch.zeros(400), torch.arange(400), None, {"rating": torch.zeros(400)})
    optimizer = torch.optim.LBFGS(loss.parameters(), max_iter=50)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value: Tensor = loss(errors[:, None], targets)["loss"]
        value.backward()
        return value

    optimizer.step(closure)
    assert float(loss.log_variance[0].exp()) == pytest.approx(float(errors.square().mean()), rel=1e-3)


def test_a_task_that_nobody_knows_teaches_nothing() -> None:
    loss = UncertaintyWeighted({"like": "binary", "soon": "binary"})
    logits = torch.randn(3, 2, requires_grad=True)
    value = loss(logits, TASKS)["loss"]
    value.backward()
    assert torch.equal(logits.grad[:, 1], torch.zeros(3))
    assert float(loss.log_variance.grad[1]) == 0
    assert float(value.detach()) == pytest.approx(float(Bce()(logits[:, 0].detach(), TASKS)["loss"]))


def test_fixed_weights_are_not_learned() -> None:
    loss = UncertaintyWeighted({"like": "binary", "rating": "regression"}, fixed=True)
    found = loss(torch.randn(3, 2), TASKS)
    assert float(found["loss"].detach()) == pytest.approx(float(found["loss/like"] + found["loss/rating"]))
    assert not loss.log_variance.requires_grad


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(
        ConfigError, match=r"UncertaintyWeighted\.tasks must map names to binary or regression"
    ):
        UncertaintyWeighted({"like": "guess"})
    with pytest.raises(ConfigError, match=r"ListwiseSoftmax\.temperature"):
        ListwiseSoftmax(0.0)
    with pytest.raises(ConfigError, match="no task 'mood'; choose of like, rating, soon"):
        UncertaintyWeighted({"mood": "binary"})(torch.zeros(3, 1), TASKS)
    with pytest.raises(ConfigError, match="names 1 tasks where the model has 2"):
        UncertaintyWeighted({"like": "binary"})(torch.zeros(3, 2), TASKS)
