"""Codes as running means."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from small_catalogue import mixture
from torch import Tensor

from genrec.errors import ConfigError
from genrec.tokenizer.codebooks import Ema, RunningMeans
from genrec.tokenizer.estimators import GumbelSoftmax, RotationTrick, Sinkhorn
from genrec.tokenizer.rqvae import RqVae
from genrec.tokenizer.task import RqVaeTask


def sample(rows: int, *, codes: int = 4, width: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(rows, width, generator=g), torch.randint(codes, (rows,), generator=g)


def with_means(x: Tensor, ema: Ema | None = None) -> RqVae:
    torch.manual_seed(0)
    model = RqVae(x.shape[1], 8, 16, 3, hidden=(32,), ema=ema or Ema(), reset_every=7)
    model.start(x, torch.Generator().manual_seed(0))
    return model


def train(model: RqVae, x: Tensor, steps: range) -> torch.optim.Optimizer:
    task = RqVaeTask(model, x, batch_size=64, iterations=100, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in steps:
        task.loss(step)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        task.after_step(step)
    return optimizer


def test_codes_are_the_papers_running_means() -> None:
    """N = decay N + (1 - decay) n, m likewise, code = m / N: a transcription in float64."""
    means, decay = RunningMeans(Ema(decay=0.8, smoothing=1e-9), 1, 4, 3), 0.8
    book = torch.randn(4, 3, generator=torch.Generator().manual_seed(9))
    first = torch.tensor([0, 0, 1, 2, 3, 3])
    means.start(0, book, first)
    counts = torch.bincount(first, minlength=4).double() / len(first)
    sums = counts[:, None] * book.double()
    for seed in range(5):
        z, index = sample(20, seed=seed)
        means.update(0, book, z, index)
        for code in range(4):
            chosen = z[index == code].double()
            counts[code] = decay * counts[code] + (1 - decay) * len(chosen) / 20
            sums[code] = decay * sums[code] + (1 - decay) * chosen.sum(0) / 20
        torch.testing.assert_close(book.double(), sums / counts[:, None], rtol=1e-4, atol=1e-5)


def test_at_rest_a_code_is_the_mean_of_its_rows_whatever_the_decay() -> None:
    z, index = sample(40)
    for decay in (0.5, 0.9):
        means, book = RunningMeans(Ema(decay), 1, 4, 3), torch.zeros(4, 3)
        means.start(0, book, index)
        for _ in range(300):
            means.update(0, book, z, index)
        for code in range(4):
            torch.testing.assert_close(book[code], z[index == code].mean(0), rtol=1e-3, atol=1e-4)


def test_a_code_without_rows_stays_finite_and_keeps_its_place_at_first() -> None:
    means, book = RunningMeans(Ema(), 1, 4, 3), torch.randn(4, 3)
    before = book.clone()
    z, index = sample(40, codes=3)  # nothing for code 3
    means.start(0, book, torch.arange(4))
    means.update(0, book, z, index)
    torch.testing.assert_close(book[3], before[3], rtol=1e-3, atol=1e-4)
    for _ in range(1000):
        means.update(0, book, z, index)
    assert torch.isfinite(book).all()


def test_levels_do_not_touch_each_other() -> None:
    means = RunningMeans(Ema(), 2, 4, 3)
    before = means.shares[0].clone(), means.sums[0].clone()
    z, index = sample(40)
    means.update(1, torch.zeros(4, 3), z, index)
    assert torch.equal(means.shares[0], before[0])
    assert torch.equal(means.sums[0], before[1])


def test_no_gradient_reaches_the_codes_and_no_codebook_term_is_paid() -> None:
    x = mixture(64)
    model = with_means(x)
    model.eval()
    assert not any(book.requires_grad for book in model.codebooks)
    paid = float(model(x)["quantisation"])
    model.commitment_weight = 0.0
    assert float(model(x)["quantisation"]) == 0.0 < paid


def test_codes_move_in_training_only() -> None:
    x = mixture(64)
    model = with_means(x)
    before = [book.clone() for book in model.codebooks]
    model.eval()
    model(x)
    model.train()
    with torch.no_grad():
        model(x)
    assert all(torch.equal(a, b) for a, b in zip(before, model.codebooks, strict=True))
    model(x)
    assert not any(torch.equal(a, b) for a, b in zip(before, model.codebooks, strict=True))


def test_a_step_brings_codes_nearer_to_their_rows() -> None:
    x = mixture(300)
    model = with_means(x, Ema(decay=0.5))
    with torch.no_grad():
        model.averages.sums[0] += 0.3  # codes that lag behind
        model.codebooks[0] += 0.3 / model.averages.shares[0, :, None]
    losses = [float(model(x)["quantisation"]) for _ in range(3)]
    assert losses[2] < 0.8 * losses[0]


def test_resuming_from_a_state_dict_goes_on_bit_for_bit() -> None:
    """Everything that decides the next step is in the state dict, resets of dead codes included."""
    x = mixture(200)
    whole = with_means(x)
    optimizer = train(whole, x, range(10))
    saved = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    state = deepcopy(optimizer.state_dict())
    resumed = RqVae(12, 8, 16, 3, hidden=(32,), ema=Ema(), reset_every=7)
    resumed.load_state_dict(saved)
    task_ends = []
    for model in (whole, resumed):
        torch.manual_seed(3)  # no draw of the global generator decides anything
        again = torch.optim.AdamW(model.parameters(), lr=3e-3)
        again.load_state_dict(deepcopy(state))
        task = RqVaeTask(model, x, batch_size=64, iterations=100, seed=0)
        for step in range(10, 25):
            task.loss(step)["loss"].backward()
            again.step()
            again.zero_grad()
            task.after_step(step)
            torch.rand(step)
        task_ends.append(model.state_dict())
    assert all(torch.equal(tensor, task_ends[1][name]) for name, tensor in task_ends[0].items())


def test_a_reset_begins_the_means_of_its_level_anew() -> None:
    x = mixture(400)
    model = with_means(x)
    with torch.no_grad():
        model.codebooks[1][4:] = 1e6
        model.averages.sums[1, 4:] = 1e6
        untouched = model.averages.sums[0].clone()
        assert model.reset_dead_codes(x, torch.Generator().manual_seed(0)) >= 12
    assert torch.equal(model.averages.sums[0], untouched)
    after = model.codebooks[1].clone()
    model(x)  # the next update does not fall back to where the dead codes were
    assert (model.codebooks[1] - after).abs().max() < after.abs().max()


@pytest.mark.parametrize("estimator", [RotationTrick(), Sinkhorn()], ids=lambda e: type(e).__name__)
def test_other_estimators_work_with_running_means(estimator: RotationTrick | Sinkhorn) -> None:
    x = mixture(200)
    model = RqVae(12, 8, 16, 3, hidden=(32,), estimator=estimator, ema=Ema())
    model.start(x, torch.Generator().manual_seed(0))
    before = float(model.eval()(x)["reconstruction"])
    train(model.train(), x, range(60))
    assert float(model.eval()(x)["reconstruction"]) < 0.8 * before


def test_gumbel_needs_the_gradient_that_running_means_replace() -> None:
    with pytest.raises(ConfigError, match=r"RqVae\.ema .* GumbelSoftmax"):
        RqVae(12, estimator=GumbelSoftmax(), ema=Ema())


@pytest.mark.parametrize(
    ("name", "value"), [("decay", 0.0), ("decay", 1.0), ("decay", -0.1), ("smoothing", 0.0)]
)
def test_ema_names_the_wrong_argument(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"Ema\.{name} must be"):
        Ema(**{name: value})
