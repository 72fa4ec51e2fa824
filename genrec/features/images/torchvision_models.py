"""ResNet-50 and ViT-B/16 as torchvision publishes them (He et al., 2016; Dosovitskiy et al., 2021)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from torch import nn

from genrec.errors import ConfigError
from genrec.features.images.network import ImageNetwork
from genrec.features.images.preparation import Preparation
from genrec.features.images.published import published_file
from genrec.features.images.weights import DEFAULT, NONE, drawn_alike, fit, local_file, read_state

if TYPE_CHECKING:
    from torchvision.models import Weights

HEADS = {"resnet50": "fc", "vit_b_16": "heads"}
"""Network -> its classifier."""


class TorchvisionModel:
    """A torchvision network, pooled: 2,048 columns for `resnet50`, 768 for `vit_b_16`.

    Args:
        model: one of `HEADS`.
        weights: `default`, another tag of torchvision such as `IMAGENET1K_V1`, a local file (prepared for as the tag
            whose file has that name, else as the default), or `none`.
    """

    def __init__(self, model: str = "resnet50", weights: str = DEFAULT) -> None:
        if model not in HEADS:
            raise ConfigError(f"TorchvisionModel.model must be one of {', '.join(HEADS)}, got {model!r}")
        self.model = model
        self.weights = weights

    def build(self) -> ImageNetwork:
        """The network without its classifier; see `ImageModel`."""
        try:
            from torchvision import models
        except ImportError as error:
            raise ConfigError(
                f"{self.model} needs the package torchvision; install it with `pip install 'genrec[image]'`"
            ) from error
        file = local_file(self.weights)
        tag = self._tag(models.get_model_weights(self.model), file)
        with drawn_alike():
            module: nn.Module = models.get_model(self.model, weights=None)
        head = HEADS[self.model]
        setattr(module, head, nn.Identity())
        if self.weights != NONE:
            file = file or published_file({_file_name(tag): tag.url})
            fit(module, read_state(file), [head], file, self.model)
        source = file.name if file else NONE
        return ImageNetwork(self.model, source, module.eval(), _preparation(tag))

    def _tag(self, known: Iterable[Weights], file: Path | None) -> Weights:
        """The published set that is meant, or whose pre-processing a file is given."""
        tags = {tag.name: tag for tag in known}
        default = next(tag for tag in tags.values() if tag is type(tag).DEFAULT)
        if file is not None:
            return next((tag for tag in tags.values() if _file_name(tag) == file.name), default)
        tags |= {DEFAULT: default, NONE: default}
        if self.weights not in tags:
            raise ConfigError(
                f"TorchvisionModel.weights must be a file or one of {', '.join(tags)} for {self.model}, got "
                f"{self.weights!r}"
            )
        return tags[self.weights]


def _file_name(tag: Weights) -> str:
    return PurePosixPath(urlsplit(tag.url).path).name


def _preparation(tag: Weights) -> Preparation:
    shown = tag.transforms()
    return Preparation(
        size=shown.crop_size[0],
        resize=shown.resize_size[0],
        filter=shown.interpolation.value,
        mean=tuple(shown.mean),
        deviation=tuple(shown.std),
    )
