"""Image networks by the names that users type: `resnet50`, `vit_b_16`, `clip/ViT-B-32`, `timm/resnet18`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from genrec.errors import ConfigError
from genrec.features.images.clip import ClipModel
from genrec.features.images.network import ImageModel
from genrec.features.images.timm_models import TimmModel
from genrec.features.images.torchvision_models import HEADS, TorchvisionModel

FAMILIES: Mapping[str, Callable[[str, str], ImageModel]] = {"clip": ClipModel, "timm": TimmModel}
"""What stands before the `/` -> its class, of a network's name and weights."""

SHORT = {"clip": "clip/ViT-B-32"}


def named_model(name: str, weights: str) -> ImageModel:
    """The network of a name.

    Args:
        weights: `default`, a published tag, a local file, the name of a package that carries them, or `none`.

    Raises:
        ConfigError: the name is unknown.
    """
    family, slash, model = SHORT.get(name, name).partition("/")
    if not slash and family in HEADS:
        return TorchvisionModel(family, weights)
    if family not in FAMILIES or not model:
        raise ConfigError(
            f"encoder {name!r} is unknown; choose resnet50, vit_b_16, clip, clip/<a network of open_clip> or "
            "timm/<a network of timm>"
        )
    return FAMILIES[family](model, weights)
