"""Bringing item features to a scale on which a learning rate means the same for every catalogue.

Each function returns the (mean [D], scale [D]) by which features x [M, D] are shifted and divided.
"""

from __future__ import annotations

import torch
from torch import Tensor

CONSTANT = 1e-6  # deviation below which a feature says nothing


def per_feature(x: Tensor) -> tuple[Tensor, Tensor]:
    """Every feature to unit deviation: all count alike, however the encoder weighed them."""
    deviation = x.std(0, correction=0)
    return x.mean(0), torch.where(deviation > CONSTANT, deviation, 1.0)


def overall(x: Tensor) -> tuple[Tensor, Tensor]:
    """One scale for all features, so that their mean variance is 1: distances keep their proportions."""
    mean = x.mean(0)
    deviation = (x - mean).square().mean().sqrt()
    scale = torch.where(deviation > CONSTANT, deviation, 1.0)
    return mean, scale.expand_as(mean).clone()
