"""Collaborative signal as a loss of the RQ-VAE."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from small_catalogue import mixture
from torch import Tensor

from genrec.errors import ConfigError
from genrec.tokenizer.contrastive import Contrast
from genrec.tokenizer.rqvae import RqVae
from genrec.tokenizer.task import RqVaeTask


def sample(rows: int = 12) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.randn(rows, 4, generator=g), torch.randn(rows, 6, generator=g)


def contrast() -> Contrast:
    torch.manual_seed(0)
    return Contrast(4, 6, temperature=0.3)


def test_it_is_the_cross_entropy_of_finding_oneself_in_the_batch() -> None:
    quantised, behaviour = sample()
    module = contrast()
    total = 0.0
    for i, vector in enumerate(quantised):
        mapped = module.head.weight.double() @ vector.double()
        cosines = torch.stack([F.cosine_similarity(mapped, h.double(), dim=0) for h in behaviour])
        total -= float(F.log_softmax(cosines / 0.3, dim=0)[i].detach())
    assert float(module(quantised, behaviour).detach()) == pytest.approx(total / 12, rel=1e-5)


def test_items_without_behaviour_neither_pull_nor_push() -> None:
    quantised, behaviour = sample()
    behaviour[[2, 7]] = 0.0
    module = contrast()
    quantised.requires_grad_()
    loss = module(quantised, behaviour)
    known = [i for i in range(12) if i not in (2, 7)]
    alone = module(quantised[known], behaviour[known])
    assert float(loss.detach()) == pytest.approx(float(alone.detach()) * 10 / 12, rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, quantised)
    assert (gradient[[2, 7]] == 0).all()
    assert (gradient[known].abs().sum(1) > 0).all()


def test_a_batch_without_any_behaviour_costs_nothing() -> None:
    quantised, behaviour = sample()
    quantised.requires_grad_()
    loss = contrast()(quantised, torch.zeros_like(behaviour))
    (gradient,) = torch.autograd.grad(loss, quantised)
    assert float(loss.detach()) == 0.0
    assert (gradient == 0).all()


def test_the_length_of_vectors_does_not_matter() -> None:
    quantised, behaviour = sample()
    module = contrast()
    stretched = behaviour * torch.linspace(0.1, 50, 12)[:, None]
    torch.testing.assert_close(module(7 * quantised, stretched), module(quantised, behaviour))


def make(x: Tensor, weight: float) -> RqVae:
    torch.manual_seed(0)
    dims = 5 if weight else None
    model = RqVae(12, 8, 16, 3, hidden=(32,), collaborative_dim=dims, alignment_weight=weight)
    model.start(x, torch.Generator().manual_seed(0))
    return model


def agreement(model: RqVae, x: Tensor, group: Tensor) -> float:
    """How much more often two items share their first code when they are of one behaviour group."""
    first = torch.from_numpy(model.space(x).nearest()[:, 0].copy())
    same_code = first[:, None] == first
    same_group = group[:, None] == group
    return float(same_code[same_group].float().mean() / same_code[~same_group].float().mean())


def test_training_draws_items_of_like_behaviour_together() -> None:
    """Behaviour that content hardly shows: one feature of twelve, which is not worth a code of the first level."""
    x = mixture(320, centres=6)
    group = torch.arange(320) % 5
    x[:, 0] = group + 0.1 * x[:, 0]
    behaviour = F.one_hot(group, 5).float()
    shares = []
    for weight in (0.0, 20.0):
        model = make(x, weight)
        task = RqVaeTask(
            model, x, batch_size=160, iterations=200, seed=0, collaborative=behaviour if weight else None
        )
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
        for step in range(200):
            task.loss(step)["loss"].backward()
            optimizer.step()
            optimizer.zero_grad()
            task.after_step(step)
        shares.append(agreement(model, x, group))
    assert shares[1] > 1.5 * shares[0]


def test_the_weighted_term_is_part_of_the_loss_and_is_validated() -> None:
    x, behaviour = mixture(64), torch.randn(64, 5, generator=torch.Generator().manual_seed(1))
    model = make(x, 3.0)
    with torch.no_grad():
        losses = {name: float(value) for name, value in model(x, behaviour).items()}
        parts = losses["reconstruction"] + losses["quantisation"] + losses["alignment"]
        model.alignment_weight = 1.0
        assert losses["alignment"] == pytest.approx(3 * float(model(x, behaviour)["alignment"]), rel=1e-5)
        task = RqVaeTask(model, x, batch_size=64, iterations=1, seed=0, collaborative=behaviour)
        assert task.validate()["alignment"] == pytest.approx(losses["alignment"] / 3, rel=1e-5)
    assert losses["loss"] == pytest.approx(parts, rel=1e-5)


@pytest.mark.parametrize(("weight", "dims"), [(1.0, None), (0.0, 5), (-1.0, None), (-1.0, 5)])
def test_weight_and_vectors_go_together(weight: float, dims: int | None) -> None:
    with pytest.raises(ConfigError, match=r"RqVae\.alignment_weight"):
        RqVae(12, collaborative_dim=dims, alignment_weight=weight)


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_a_task_has_vectors_exactly_where_the_model_aligns(weight: float) -> None:
    x = mixture(40)
    vectors = None if weight else torch.ones(40, 5)
    with pytest.raises(ConfigError, match=r"train\.collaborative and RqVae\.alignment_weight"):
        RqVaeTask(make(x, weight), x, batch_size=20, iterations=1, seed=0, collaborative=vectors)


def test_the_temperature_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"RqVae\.alignment_temperature must be above 0"):
        RqVae(12, collaborative_dim=3, alignment_weight=1.0, alignment_temperature=0.0)
