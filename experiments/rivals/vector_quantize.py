"""`vector-quantize-pytorch`: its ResidualVQ inside the MLP autoencoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from vector_quantize_pytorch import ResidualVQ

from rivals.autoencoder import decoder, encoder
from rivals.contest import LATENT, QUANTISERS, Job, World, steps


class Autoencoder(nn.Module):
    """Encoder, ResidualVQ, decoder.

    Args:
        quantiser: takes [1, B, D], gives (quantised, codes, losses).
    """

    def __init__(self, quantiser: nn.Module) -> None:
        super().__init__()
        self.encoder, self.quantiser, self.decoder = encoder(), quantiser, decoder()

    def forward(self, x: Tensor) -> Tensor:
        """X [B, D] -> loss."""
        quantised, _, losses = self.quantiser(self.encoder(x)[None])
        return (self.decoder(quantised[0]) - x).square().mean() + losses.sum()  # type: ignore[no-any-return]


def quantiser(world: World) -> list[Job]:
    """With its defaults (EMA codebooks, rotation trick), and set to what RqVae does by default."""
    torch.manual_seed(0)
    codes, count = world.sizes.codes, world.sizes.quantiser_steps
    x = world.features[: world.sizes.quantised]
    defaults = ResidualVQ(dim=LATENT, num_quantizers=QUANTISERS, codebook_size=codes, kmeans_init=True)
    learned = ResidualVQ(
        dim=LATENT,
        num_quantizers=QUANTISERS,
        codebook_size=codes,
        kmeans_init=True,
        learnable_codebook=True,
        ema_update=False,
        rotation_trick=False,
    )
    return [
        Job(name, steps(model, [lambda model=model: model(x)] * count), count, note)  # type: ignore[misc]
        for name, note, model in (
            ("ResidualVQ, its defaults", "EMA codebooks, rotation trick", Autoencoder(defaults)),
            ("ResidualVQ, straight-through", "learned codebooks", Autoencoder(learned)),
        )
    ]


SECTIONS = {"quantiser": quantiser}
