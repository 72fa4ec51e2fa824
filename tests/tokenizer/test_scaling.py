"""How inputs are standardised."""

from __future__ import annotations

import pytest
import torch
from small_catalogue import mixture
from torch import Tensor

from genrec.tokenizer.rqvae import RqVae
from genrec.tokenizer.scaling import overall, per_feature


def uneven() -> Tensor:
    x = mixture(400) * torch.logspace(-3, 2, 12)
    x[:, 5] = 7.0  # says nothing
    return x


def test_per_feature_gives_every_feature_the_same_say() -> None:
    x = uneven()
    mean, scale = per_feature(x)
    scaled = (x - mean) / scale
    torch.testing.assert_close(scaled.mean(0), torch.zeros(12), atol=1e-4, rtol=0)
    expected = torch.ones(12).index_fill(0, torch.tensor(5), 0.0)
    torch.testing.assert_close(scaled.std(0, correction=0), expected, atol=1e-3, rtol=0)


def test_overall_keeps_the_proportions_of_distances() -> None:
    x = uneven()
    mean, scale = overall(x)
    scaled = (x - mean) / scale
    torch.testing.assert_close(scaled.mean(0), torch.zeros(12), atol=1e-4, rtol=0)
    assert float(scaled.square().mean()) == pytest.approx(1.0, rel=1e-4)
    ratio = torch.cdist(scaled, scaled)[0, 1:] / torch.cdist(x, x)[0, 1:]
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio), rtol=1e-3, atol=0)


@pytest.mark.parametrize("scaling", [overall, per_feature])
def test_constant_features_stay_finite(scaling: type) -> None:
    mean, scale = scaling(torch.full((9, 4), 3.0))
    assert torch.equal((torch.full((9, 4), 3.0) - mean) / scale, torch.zeros(9, 4))


def test_a_model_scales_as_it_is_told() -> None:
    x = uneven()
    by_feature, by_all = RqVae(12, 4, 8, scaling=per_feature), RqVae(12, 4, 8)
    for model in (by_feature, by_all):
        model.start(x, torch.Generator().manual_seed(0))
    assert len(by_all.scale.unique()) == 1
    assert torch.equal(by_feature.scale, per_feature(x)[1])
