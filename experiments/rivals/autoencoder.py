"""The MLPs around a residual quantiser, for packages that have only the quantiser."""

from __future__ import annotations

from torch import nn

from genrec.tokenizer.rqvae import mlp
from rivals.contest import FEATURES, HIDDEN, LATENT


def encoder() -> nn.Sequential:
    """768 -> 512 -> 256 -> 128 -> 32, ReLU between."""
    return mlp([FEATURES, *HIDDEN, LATENT])


def decoder() -> nn.Sequential:
    """The encoder's widths backwards."""
    return mlp([FEATURES, *HIDDEN, LATENT][::-1])
