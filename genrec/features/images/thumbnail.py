"""Small pictures for pages."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genrec.features.images.decode import read_picture


@dataclass(frozen=True)
class Thumbnail:
    """The whole picture at a height of some pixels, a `Framing`."""

    height: int = 120

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """In its proportions."""
        return max(1, round(width * self.height / height)), self.height

    def picture(self, image: Image.Image) -> NDArray[np.uint8]:
        """[height, width, 3]."""
        return np.asarray(image.resize(self.resized(*image.size), Image.Resampling.BICUBIC))


def thumbnail(path: Path, height: int = 120, quality: int = 75) -> bytes:
    """The picture of a file as a JPEG of this height.

    Raises:
        UnreadableImage: as `read_picture`.
    """
    buffer = io.BytesIO()
    Image.fromarray(read_picture(path, Thumbnail(height))).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
