"""The documented pre-processing of an image network: resize, crop, mean and deviation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genrec.errors import ConfigError

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class Preparation:
    """What a set of weights expects.

    Attributes:
        size: edge of the square that the network sees, pixels.
        resize: what the shorter edge of a picture becomes before that square is cut from its centre.
        filter: how it is resized, one of `FILTERS`.
        mean: of each channel, for pixels in 0..1.
        deviation: of each channel.
        squash: both edges become `resize`, whatever the picture's shape.
    """

    size: int
    resize: int
    filter: str
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    squash: bool = False

    def __post_init__(self) -> None:
        if self.filter not in FILTERS:
            raise ConfigError(f"Preparation.filter must be one of {', '.join(FILTERS)}, got {self.filter!r}")
        if not 1 <= self.size <= self.resize:
            raise ConfigError(
                f"Preparation.size must be in 1..{self.resize} (Preparation.resize), got {self.size}"
            )

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """The size of the whole picture after resizing."""
        if self.squash:
            return self.resize, self.resize
        short = min(width, height)  # the longer edge is rounded down, as torchvision does
        return self.resize * width // short, self.resize * height // short

    def picture(self, image: Image.Image) -> NDArray[np.uint8]:
        """The square [size, size, 3] of an RGB picture.

        Resizing only what the crop keeps gives the same pixels at half the work.
        """
        width, height = self.resized(*image.size)
        left, top = round((width - self.size) / 2), round((height - self.size) / 2)
        across, down = image.width / width, image.height / height  # source pixels per pixel
        box = (left * across, top * down, (left + self.size) * across, (top + self.size) * down)
        square = image.resize((self.size, self.size), FILTERS[self.filter], box=box)
        return np.asarray(square)


def resize_for(size: int, crop_share: float) -> int:
    """`Preparation.resize` where the crop is given as a share of the resized picture (timm's `crop_pct`)."""
    return max(size, math.floor(size / crop_share))
