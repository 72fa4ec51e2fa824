"""Several modalities inside an RQ-VAE, some of them missing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from genrec.errors import ConfigError
from genrec.features.fusion import Fusion, Gated, Mlp, Transformer
from genrec.tokenizer.modalities import Modalities
from genrec.tokenizer.rqvae import RqVae
from genrec.tokenizer.task import RqVaeTask

PARTS = (("metadata", 4), ("text", 12))


def described(n: int = 600, clusters: int = 8) -> tuple[Tensor, Tensor]:
    """Items of clusters, and the cluster of each; every third item lacks one modality or the other."""
    draw = torch.Generator().manual_seed(0)
    kind = torch.randint(clusters, (n,), generator=draw)
    centres = torch.randn(clusters, 16, generator=draw) * torch.tensor([1.0] * 4 + [50.0] * 12)
    x = centres[kind] + 0.1 * torch.randn(n, 16, generator=draw) + 3.0
    x[::6, :4] = 0.0
    x[1::6, 4:] = 0.0
    return x, kind


def test_modalities_have_the_same_variance_over_the_items_that_have_them() -> None:
    x, _ = described()
    modalities = Modalities(PARTS)
    mean, scale = modalities.scaling(x)
    there = x[:, 0] != 0
    torch.testing.assert_close(mean[:4], x[there, :4].mean(0))
    scaled = modalities.masked((x - mean) / scale, x)
    for columns in (slice(0, 4), slice(4, 16)):
        block = scaled[:, columns]
        present = (x[:, columns] != 0).any(1)
        assert (block[~present] == 0).all()
        torch.testing.assert_close(block[present].square().sum(1).mean(), torch.tensor(8.0))


def test_an_error_counts_where_the_modality_is_there() -> None:
    modalities = Modalities(PARTS)
    target, restored = torch.randn(5, 16), torch.randn(5, 16)
    target[2:, :4] = 0.0
    found = modalities.reconstruction(restored, target)
    expected = (restored - target).square()
    torch.testing.assert_close(found["metadata"], expected[:2, :4].sum(1).mean())
    torch.testing.assert_close(found["text"], expected[:, 4:].sum(1).mean())


def test_blocks_of_one_modality_are_numbered() -> None:
    assert Modalities((("text", 1), ("image", 2), ("text", 3))).names == ["text_1", "image", "text_2"]


def trained(fusion: type[Fusion]) -> tuple[RqVae, Tensor, Tensor]:
    torch.manual_seed(0)
    x, kind = described()
    model = RqVae(16, 8, 8, 2, hidden=(32,), fusion=fusion, parts=PARTS)
    task = RqVaeTask(model, x, batch_size=100, iterations=150, seed=0)
    model.start(x, torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(150):
        loss = task.loss(step)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        task.after_step(step)
    return model.eval(), x, kind


@pytest.mark.parametrize("fusion", [Mlp, Gated, Transformer])
def test_an_item_without_a_modality_is_placed_by_the_other(fusion: type[Fusion]) -> None:
    model, x, kind = trained(fusion)
    space = model.space(x)
    codes = space.nearest()
    first = torch.from_numpy(codes[:, 0]).long()
    whole = torch.ones(len(x), dtype=torch.bool)
    whole[::6] = whole[1::6] = False
    votes = torch.zeros(8, 8).index_put_((kind[whole], first[whole]), torch.ones(()), accumulate=True)
    usual = votes.argmax(1)
    assert (first[whole] == usual[kind[whole]]).float().mean() > 0.7
    assert (first[~whole] == usual[kind[~whole]]).float().mean() > 0.6  # one in eight by chance
    assert space.error_by_depth(codes)[-1] < 0.3


def test_the_terms_add_up_and_are_shown() -> None:
    model, x, _ = trained(Gated)
    losses = model(x)
    parts = losses["reconstruction/metadata"] + losses["reconstruction/text"]
    torch.testing.assert_close(losses["reconstruction"], parts)
    torch.testing.assert_close(losses["loss"], losses["reconstruction"] + losses["quantisation"])
    torch.manual_seed(1)
    again = RqVae(16, 8, 8, 2, hidden=(32,), fusion=Gated, parts=PARTS).eval()
    again.load(model.weights())
    torch.testing.assert_close(again.latents(x), model.latents(x))


def test_parts_must_fit() -> None:
    with pytest.raises(ConfigError, match=r"RqVae.parts must add up to RqVae.input_dim = 17"):
        RqVae(17, fusion=Mlp, parts=PARTS)
