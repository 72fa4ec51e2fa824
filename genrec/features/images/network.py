"""A pretrained image network, ready to turn squares of pixels into vectors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn

from genrec.artifacts import text_hash
from genrec.errors import ConfigError
from genrec.features.images.preparation import Preparation
from genrec.features.images.weights import state_hash


@dataclass(frozen=True)
class ImageNetwork:
    """A network without its classifier, and what its weights expect.

    Attributes:
        name: such as `timm/tf_efficientnet_lite0`.
        weights: where they come from: a tag, a package, a file's name, or `none`.
        module: float [B, 3, S, S] to pooled features [B, D].
        preparation: how pictures become its squares.
    """

    name: str
    weights: str
    module: nn.Module
    preparation: Preparation

    @cached_property
    def weights_hash(self) -> str:
        """Hash of the weights' names and values."""
        return state_hash(self.module)

    @cached_property
    def width(self) -> int:
        """D."""
        size = self.preparation.size
        shape = self.features(torch.zeros((1, size, size, 3), dtype=torch.uint8)).shape
        if len(shape) != 2:
            raise ConfigError(
                f"{self.name} gives no vector per picture but {list(shape[1:])}; take another network"
            )
        return shape[1]

    @property
    def identity(self) -> str:
        """Hash of all that its vectors depend on: weights, pre-processing, and precision."""
        return text_hash(f"{self.name} {self.weights_hash} {self.preparation} {self.precision}")

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.module.parameters()).device

    @property
    def precision(self) -> torch.dtype:
        """What the layers compute in: half precision on CUDA devices only."""
        if self.device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16

    def to(self, device: torch.device) -> ImageNetwork:
        """Itself, moved there and put into the memory layout in which convolutions are fastest."""
        # mypy does not know this overload
        self.module.to(device=device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        return self

    @torch.inference_mode()
    def features(self, squares: Tensor) -> Tensor:
        """Vectors float32 [B, D] on the CPU, of uint8 pixels [B, S, S, 3].

        Pixels travel as bytes and are normalised here, next to the network.
        """
        if not len(squares):
            return torch.empty((0, self.width))
        precision, edge = self.precision, self.preparation.size
        # By rows of pixels, S * 3 numbers at a stretch: triple by triple takes three times as long.
        mean, deviation = (
            torch.tensor(channels, device=self.device).mul(255).repeat(edge)
            for channels in (self.preparation.mean, self.preparation.deviation)
        )
        rows = squares.to(self.device, non_blocking=True).view(-1, edge, edge * 3).float()
        pixels = rows.sub_(mean).div_(deviation).view(-1, edge, edge, 3)
        with torch.autocast(self.device.type, dtype=precision, enabled=precision != torch.float32):
            vectors: Tensor = self.module(pixels.permute(0, 3, 1, 2))  # [B, 3, S, S], channels_last
        return vectors.float().cpu()


class ImageModel(Protocol):
    """The description of a network, which builds it when it is needed."""

    def build(self) -> ImageNetwork:
        """The network with its weights, on the CPU.

        Raises:
            ConfigError: a package is missing, or a name is unknown.
            DataError: the weights cannot be had, or are not this network's.
        """
        ...
