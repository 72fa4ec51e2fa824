"""RQ-VAE: that it trains, in every mode."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_catalogue import mixture
from small_rqvae import MODES, small, train
from torch import Tensor

from genrec.errors import ConfigError
from genrec.tokenizer.collisions import UniqueAssignment
from genrec.tokenizer.estimators import GumbelSoftmax
from genrec.tokenizer.kmeans import nearest
from genrec.tokenizer.quality import quality
from genrec.tokenizer.rqvae import RqVae
from genrec.tokenizer.task import RqVaeTask


def test_reset_depends_on_step_and_seed_alone() -> None:
    x = mixture(400)
    ends = []
    for draws in (0, 7):
        model = small(x, reset_every=10)
        torch.manual_seed(draws)
        with torch.no_grad():
            model.codebooks[0][5:] = 1e6
            RqVaeTask(model, x[:90], batch_size=30, iterations=100, seed=3).after_step(9)
        ends.append(model.state_dict())
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())


@pytest.mark.parametrize("mode", MODES)
def test_trains_on_a_mixture(mode: str) -> None:
    x = mixture(640, apart=1.0)
    estimator, ema = MODES[mode]
    model = small(x, estimator=estimator, ema=ema)
    untrained = model.tokenize(x, UniqueAssignment())
    history = train(model, x)
    first = np.mean([losses["reconstruction"] for losses in history[:10]])
    last = np.mean([losses["reconstruction"] for losses in history[-10:]])
    assert last < 0.7 * first
    assert all(np.isfinite(list(losses.values())).all() for losses in history)
    tokenized = model.tokenize(x, UniqueAssignment())
    figures = quality(tokenized, np.zeros((640, 1), dtype=np.float32))
    assert min(figures[f"usage/{level}"] for level in range(3)) >= 0.9
    assert figures["collision_rate_before"] < 0.2  # random codes of 16 x 16 x 16: 0.07
    assert figures["collision_rate"] == 0.0
    assert tokenized.error_by_depth[-1] < 0.7 < 0.9 < untrained.error_by_depth[-1]
    assert tokenized.error_by_depth[1] > tokenized.error_by_depth[3]


def heavy_tailed(n: int = 2000, width: int = 64) -> Tensor:
    """Clusters far apart of which a few hold most rows: latents move fast, and ids must come from inside clusters."""
    g = torch.Generator().manual_seed(0)
    sizes = torch.arange(1.0, 13) ** -1.0
    places = 3 * torch.randn(12, width, generator=g)
    which = torch.multinomial(sizes, n, replacement=True, generator=g)
    return places[which] + torch.randn(n, width, generator=g)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("x", [mixture(2000, width=64, centres=50), heavy_tailed()], ids=["even", "heavy"])
def test_ids_are_distinct_and_codes_are_used_after_a_short_training(x: Tensor, mode: str) -> None:
    torch.manual_seed(0)
    estimator, ema = MODES[mode]
    model = RqVae(64, 16, 64, 3, hidden=(64, 32), estimator=estimator, ema=ema)
    model.start(x, torch.Generator().manual_seed(0))
    task = RqVaeTask(model, x, batch_size=128, iterations=120, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    for step in range(120):
        task.loss(step)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        task.after_step(step)
    figures = task.validate()
    assert 1 - figures["collision_rate"] >= 0.89
    assert min(figures[f"usage/{level}"] for level in range(3)) >= 0.98


def test_a_run_ends_with_settled_codes() -> None:
    x = mixture(200)
    model = small(x, reset_every=0)
    before = [book.detach().clone() for book in model.codebooks]
    with torch.no_grad():
        model.codebooks[0] += 1.0
        task = RqVaeTask(model, x, batch_size=40, iterations=30, seed=1)
        task.after_step(28)
        assert not torch.allclose(model.codebooks[0], before[0], atol=0.1)
        task.after_step(29)
    assert (
        nearest(model.latents(x), model.codebooks[0])[1].mean()
        < 1.2 * nearest(model.latents(x), before[0])[1].mean()
    )


def test_a_strong_commitment_lowers_the_whole_loss() -> None:
    x = mixture(640)
    model = small(x)
    model.commitment_weight = 1.0
    history = train(model, x)
    assert np.mean([h["loss"] for h in history[-10:]]) < 0.8 * np.mean([h["loss"] for h in history[:10]])


def test_codes_keep_up_with_latents() -> None:
    """Latents have no fixed length, but start near where they will be, so that their growth does not outrun codes."""
    x = mixture(640)
    model = small(x)
    task = RqVaeTask(model, x, batch_size=256, iterations=300, seed=0)
    before = task.validate()
    history = train(model, x)
    after = task.validate()
    assert history[-1]["quantisation"] < 4 * history[0]["quantisation"]
    assert max(before["quantisation_error"], after["quantisation_error"]) < 0.12
    assert after["reconstruction"] < before["reconstruction"]


def test_training_is_deterministic() -> None:
    x = mixture(300)
    one, two = small(x, estimator=GumbelSoftmax()), small(x, estimator=GumbelSoftmax())
    for model in (one, two):
        torch.manual_seed(5)
        train(model, x, steps=45)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, two.state_dict()[name]), name


def test_every_item_is_seen_once_per_pass_and_dead_codes_are_reset_in_time() -> None:
    x = mixture(120)
    model = small(x, reset_every=10)
    task = RqVaeTask(model, x, batch_size=40, iterations=100, seed=1)
    seen: list[Tensor] = []
    model.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    for step in (5, 4, 3):  # in any order: a step depends on its number alone
        task.loss(step)
    assert torch.equal(torch.cat(seen).unique(dim=0), x.unique(dim=0))
    with torch.no_grad():
        model.codebooks[0][0] = 1e6
        task.after_step(78)
        assert model.codebooks[0][0, 0] == 1e6
        task.after_step(89)
    assert model.codebooks[0][0, 0] < 1e6


def test_batch_size_is_checked() -> None:
    x = mixture(20)
    with pytest.raises(ConfigError, match=r"train\.batch_size must be at least 1"):
        RqVaeTask(small(x), x, batch_size=0, iterations=1, seed=0)
