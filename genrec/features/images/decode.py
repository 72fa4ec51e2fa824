"""Pictures from files as they come: any mode, any format, damaged ones refused with the reason."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from genrec.errors import DataError

MAX_PIXELS = 64_000_000
"""More is refused unread; the largest posters have 24 million."""

# What Pillow's readers raise at damaged bytes; tests/features/test_decode.py keeps looking for others.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    struct.error,
    zlib.error,
)
_DEEP = {"I;16": 256.0, "I;16L": 256.0, "I;16B": 256.0, "I;16N": 256.0}  # grey levels per level of 8 bits


class Framing(Protocol):
    """How a picture is resized and cut, such as `Preparation`."""

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """The size of the whole picture after resizing."""
        ...

    def picture(self, image: Image.Image) -> NDArray[np.uint8]:
        """What is kept of an RGB picture, [height, width, 3]."""
        ...


class UnreadableImage(DataError):  # noqa: N818 - it names what it is
    """A file that no picture can be read from; the text is the reason, without the file's name."""


def read_picture(path: Path, framing: Framing) -> NDArray[np.uint8]:
    """What is kept of a picture file: of a `Preparation`, the square [S, S, 3].

    The format is told by the content, not by the name. Of an animation the first frame is read, and what is
    transparent becomes white.

    Raises:
        UnreadableImage: empty, truncated, not an image, or larger than `MAX_PIXELS`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata
        try:
            if not path.stat().st_size:
                raise UnreadableImage("the file is empty")
            with Image.open(path) as image:
                _check_size(image)
                # A JPEG can be decoded at a half, a quarter or an eighth for a fraction of the work.
                image.draft(None, framing.resized(*image.size))
                return framing.picture(as_rgb(image))
        except Image.DecompressionBombError as error:
            raise UnreadableImage(f"more than {MAX_PIXELS} pixels (decompression bomb)") from error
        except UnidentifiedImageError as error:
            raise UnreadableImage("not an image in a known format") from error
        except FileNotFoundError as error:
            raise UnreadableImage("the file is missing") from error
        except _DAMAGE as error:
            raise UnreadableImage(
                f"damaged: {' '.join(str(error).split()) or type(error).__name__}"
            ) from error


def as_rgb(image: Image.Image) -> Image.Image:
    """The picture in RGB, on white where it is transparent."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in _DEEP or image.mode in ("I", "F"):
        return _from_deep_grey(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(paper, layer).convert("RGB")
    return image.convert("RGB")


def _check_size(image: Image.Image) -> None:
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise UnreadableImage(
            f"{image.width} x {image.height} pixels are more than {MAX_PIXELS} (decompression bomb)"
        )


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits; integers and floats without a known range are stretched to it."""
    levels = np.asarray(image, dtype=np.float64)
    if image.mode in _DEEP:
        grey = levels / _DEEP[image.mode]
    else:
        levels = np.nan_to_num(levels)
        low, high = float(levels.min()), float(levels.max())
        grey = (levels - low) * (255.0 / (high - low) if high > low else 0.0)
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
