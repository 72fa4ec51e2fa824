"""RQ-VAE: its loss, its start, its dead codes, and that it trains."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_catalogue import mixture
from torch import Tensor

from genrec.errors import ConfigError
from genrec.tokenizer.collisions import DeduplicationCode, UniqueAssignment
from genrec.tokenizer.estimators import Estimator, GumbelSoftmax, RotationTrick, StraightThrough
from genrec.tokenizer.kmeans import nearest
from genrec.tokenizer.quality import quality
from genrec.tokenizer.rqvae import RqVae
from genrec.tokenizer.task import RqVaeTask

ESTIMATORS: list[Estimator] = [StraightThrough(), RotationTrick(), GumbelSoftmax()]


def small(x: Tensor, *, estimator: Estimator | None = None, reset_every: int = 20) -> RqVae:
    torch.manual_seed(0)
    model = RqVae(x.shape[1], 8, 16, 3, hidden=(32,), estimator=estimator, reset_every=reset_every)
    model.start(x, torch.Generator().manual_seed(0))
    return model


def train(model: RqVae, x: Tensor, steps: int = 300) -> list[dict[str, float]]:
    """The losses of every step."""
    task = RqVaeTask(model, x, batch_size=256, iterations=steps, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    history = []
    for step in range(steps):
        losses = task.loss(step)
        losses["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        task.after_step(step)
        history.append({name: float(value.detach()) for name, value in losses.items()})
    return history


def test_the_loss_is_the_papers_sums() -> None:
    x = mixture(30).double()
    model = RqVae(12, 4, 5, 3, hidden=(7,), commitment_weight=0.3).double()
    model.start(x, torch.Generator().manual_seed(0))
    model.requires_grad_(False)
    losses = model(x[:10])
    total = {"reconstruction": 0.0, "codebook": 0.0, "commitment": 0.0}
    for row in x[:10]:
        target = (row - x.mean(0)) / x.std(0, correction=0)
        left = model.encoder(target)
        quantised = torch.zeros_like(left)
        for book in model.codebooks:
            code = min(book, key=lambda c: float((left - c).square().sum()))
            total["codebook"] += float((left - code).square().sum()) / 10
            total["commitment"] += float((left - code).square().sum()) / 10
            quantised, left = quantised + code, left - code
        total["reconstruction"] += float((model.decoder(quantised) - target).square().sum()) / 10
    quantisation = total["codebook"] + 0.3 * total["commitment"]
    assert float(losses["reconstruction"]) == pytest.approx(total["reconstruction"], rel=1e-9)
    assert float(losses["quantisation"]) == pytest.approx(quantisation, rel=1e-9)
    assert float(losses["loss"]) == pytest.approx(total["reconstruction"] + quantisation, rel=1e-9)


def test_each_term_moves_what_it_should() -> None:
    """Codes follow the codebook term, beta only scales the encoder's pull, the decoder sees reconstruction."""
    x = mixture(64)
    gradients = []
    for beta in (0.0, 1.0):
        model = small(x)
        model.commitment_weight = beta
        model(x)["loss"].backward()
        gradients.append(model)
    without, with_beta = gradients
    for one, two in zip(without.codebooks, with_beta.codebooks, strict=True):
        assert one.grad is not None
        assert torch.equal(one.grad, two.grad)
        assert one.grad.abs().sum() > 0
    assert torch.equal(without.decoder[0].weight.grad, with_beta.decoder[0].weight.grad)
    assert not torch.equal(without.encoder[0].weight.grad, with_beta.encoder[0].weight.grad)


def test_start_standardises_and_takes_codes_from_the_latents() -> None:
    x = mixture(400)
    x[:, 3] = 7.0  # constant
    model = small(x)
    scaled = model.standardise(x)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(12), atol=1e-4, rtol=0)
    expected = torch.ones(12).index_fill(0, torch.tensor(3), 0.0)
    torch.testing.assert_close(scaled.std(0, correction=0), expected, atol=1e-3, rtol=0)
    residual = model.latents(x)
    before = residual.square().sum()
    for book in model.codebooks:
        index, _ = nearest(residual, book)
        assert len(index.unique()) == len(book)  # no dead code
        residual = residual - book[index]
    assert residual.square().sum() < 0.3 * before


def test_reset_revives_dead_codes_and_spares_the_living() -> None:
    x = mixture(400)
    model = small(x)
    with torch.no_grad():
        model.codebooks[1][4:] = 1e6
    before = [book.detach().clone() for book in model.codebooks]
    torch.manual_seed(0)
    assert model.reset_dead_codes(x) >= 12
    assert torch.equal(model.codebooks[0], before[0])
    assert torch.equal(model.codebooks[1][:4], before[1][:4])
    residual = model.latents(x)
    residual = residual - model.codebooks[0][nearest(residual, model.codebooks[0])[0]]
    assert len(nearest(residual, model.codebooks[1])[0].unique()) == 16
    assert model.codebooks[1].requires_grad


def test_reset_with_fewer_rows_than_dead_codes() -> None:
    x = mixture(400)
    model = small(x)
    assert model.reset_dead_codes(x[:3]) == 9  # three rows for each of three levels
    assert all(torch.isfinite(book).all() for book in model.codebooks)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_trains_on_a_mixture(estimator: Estimator) -> None:
    x = mixture(640, apart=1.0)
    model = small(x, estimator=estimator)
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


def test_a_strong_commitment_lowers_the_whole_loss() -> None:
    x = mixture(640)
    model = small(x)
    model.commitment_weight = 1.0
    history = train(model, x)
    assert np.mean([h["loss"] for h in history[-10:]]) < 0.8 * np.mean([h["loss"] for h in history[:10]])


def test_quantisation_loss_may_rise_while_the_codes_stay_as_good() -> None:
    """Latents have no fixed length: the share of their variance left over is what to watch."""
    x = mixture(640)
    model = small(x)
    task = RqVaeTask(model, x, batch_size=256, iterations=300, seed=0)
    before = task.validate()
    history = train(model, x)
    after = task.validate()
    assert history[-1]["quantisation"] > 5 * history[0]["quantisation"]
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


def test_weights_tokenize_alike_in_another_model() -> None:
    x = mixture(200)
    model = small(x)
    train(model, x, steps=10)
    copy = RqVae(12, 8, 16, 3, hidden=(32,))
    copy.load_state_dict(dict(model.weights()))
    assert np.array_equal(
        copy.tokenize(x, DeduplicationCode()).codes, model.tokenize(x, DeduplicationCode()).codes
    )


def test_choices_of_codes_are_not_rounded_by_mixed_precision() -> None:
    x = mixture(200)
    model = small(x)
    model.requires_grad_(False)
    exact = model(x)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(x)
    assert rounded["loss"].dtype == torch.float32
    assert float(rounded["loss"]) == pytest.approx(float(exact["loss"]), rel=0.02)


def test_every_item_is_seen_once_per_pass_and_resets_end_before_the_end() -> None:
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
        task.after_step(89)
        assert model.codebooks[0][0, 0] == 1e6
        task.after_step(78)
        assert model.codebooks[0][0, 0] == 1e6
        task.after_step(79)
    assert model.codebooks[0][0, 0] < 1e6


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input_dim", 0),
        ("embed_dim", 0),
        ("codebook_size", 1),
        ("n_levels", 0),
        ("commitment_weight", -0.1),
        ("kmeans_iterations", -1),
        ("reset_every", -1),
        ("hidden", (8, 0)),
    ],
)
def test_names_the_wrong_argument(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"RqVae\.{name} must "):
        RqVae(**({"input_dim": 4} | {name: value}))  # type: ignore[arg-type]


def test_batch_size_is_checked() -> None:
    x = mixture(20)
    with pytest.raises(ConfigError, match=r"train\.batch_size must be at least 1"):
        RqVaeTask(small(x), x, batch_size=0, iterations=1, seed=0)
