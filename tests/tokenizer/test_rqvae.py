"""RQ-VAE: its loss, its start, its dead codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_catalogue import mixture
from small_rqvae import small, train

from genrec.errors import ConfigError
from genrec.tokenizer.collisions import DeduplicationCode
from genrec.tokenizer.kmeans import nearest
from genrec.tokenizer.rqvae import RqVae


def test_the_loss_is_the_papers_sums() -> None:
    x = mixture(30).double()
    model = RqVae(12, 4, 5, 3, hidden=(7,), commitment_weight=0.3).double()
    model.start(x, torch.Generator().manual_seed(0))
    model.requires_grad_(False)
    losses = model(x[:10])
    total = {"reconstruction": 0.0, "codebook": 0.0, "commitment": 0.0}
    for row in x[:10]:
        target = (row - x.mean(0)) / (x - x.mean(0)).square().mean().sqrt()
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
    model = small(x)
    scaled = model.standardise(x)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(12), atol=1e-4, rtol=0)
    assert float(scaled.square().mean()) == pytest.approx(1.0, rel=1e-4)
    residual = model.latents(x)
    before = residual.square().sum()
    for book in model.codebooks:
        index, _ = nearest(residual, book)
        assert len(index.unique()) == len(book)  # no dead code
        residual = residual - book[index]
    assert residual.square().sum() < 0.3 * before


def test_latents_begin_at_the_scale_of_their_inputs() -> None:
    x = mixture(400, width=300, centres=200)
    torch.manual_seed(0)
    model = RqVae(300)
    model.start(x, torch.Generator().manual_seed(0))
    assert 0.5 < float(model.latents(x).square().mean()) < 8.0  # torch's own start: 0.05


def test_reset_revives_dead_codes_and_spares_other_levels() -> None:
    x = mixture(400)
    model = small(x)
    with torch.no_grad():
        model.codebooks[1][4:] = 1e6
    before = [book.detach().clone() for book in model.codebooks]
    assert model.reset_dead_codes(x, torch.Generator().manual_seed(0)) >= 12
    assert torch.equal(model.codebooks[0], before[0])
    residual = model.latents(x)
    residual = residual - model.codebooks[0][nearest(residual, model.codebooks[0])[0]]
    assert len(nearest(residual, model.codebooks[1])[0].unique()) == 16
    assert model.codebooks[1].requires_grad


def test_reset_brings_a_lagging_level_up_to_date() -> None:
    """All latents have moved away, and one code is nearest to all of them."""
    x = mixture(400)
    model = small(x)
    with torch.no_grad():
        model.encoder[-1].bias += 50.0
    moved = model.latents(x)
    assert len(nearest(moved, model.codebooks[0])[0].unique()) == 1
    model.reset_dead_codes(x, torch.Generator().manual_seed(0))
    index, distance = nearest(moved, model.codebooks[0])
    assert len(index.unique()) == 16
    assert distance.mean() < 0.5 * (moved - moved.mean(0)).square().sum(1).mean()


def test_reset_with_fewer_rows_than_dead_codes() -> None:
    x = mixture(400)
    model = small(x)
    assert model.reset_dead_codes(x[:3]) == 9  # three rows for each of three levels
    assert all(torch.isfinite(book).all() for book in model.codebooks)


def test_codes_settle_at_the_means_of_their_rows() -> None:
    x = mixture(400)
    model = small(x)
    with torch.no_grad():
        model.encoder[-1].bias += 50.0
    model.settle(x)
    residual = model.latents(x)
    for book in model.codebooks:
        index, _ = nearest(residual, book)
        means = torch.stack([residual[index == code].mean(0) for code in index.unique()])
        assert len(means) == 16
        assert (book[index.unique()] - means).square().sum(1).mean() < 0.05 * residual.square().sum(1).mean()
        residual = residual - book.detach()[index]


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
