"""Which bytes are a poster: those that Pillow decodes to the last pixel."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from genrec.features.tmdb.host import Unusable

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""What is tried; other decoders of Pillow are never run on what a server sends."""

MOST_PIXELS = 50_000_000
"""A poster beyond this is a decompression bomb; TMDB's originals have up to 6 million."""

_QUALITY = 95
_DAMAGE = (  # what Pillow's decoders raise on damaged files
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def as_jpeg(content: bytes) -> bytes:
    """The poster as a JPEG file: a JPEG byte for byte, anything else (its first frame, in RGB) encoded once.

    Raises:
        Unusable: it is empty, no image, cut off, damaged, or a decompression bomb.
    """
    if not content:
        raise Unusable("image has zero bytes")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_size(image)
            image.load()
            if image.format == "JPEG":
                return content
            encoded = io.BytesIO()
            image.convert("RGB").save(encoded, "JPEG", quality=_QUALITY)
    except _DAMAGE as error:
        raise Unusable(_reason(error)) from None
    return encoded.getvalue()


def is_whole(path: Path) -> bool:
    """Whether a file is an image that decodes to its end; a JPEG is decoded at an eighth of its size, for speed."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            _check_size(image)
            image.draft("L", (1, 1))
            image.load()
    except (*_DAMAGE, Unusable):
        return False
    return True


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise Unusable(f"image of {width} x {height} pixels (decompression bomb)")


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "image is a decompression bomb"
    if isinstance(error, UnidentifiedImageError):
        return "body is no image"
    return "image is cut off or damaged"
