"""What is a poster and what is not."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genrec.features.tmdb.host import Unusable
from genrec.features.tmdb.images import as_jpeg, is_whole


def encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (60, 90)) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(file, kind)
    return file.getvalue()


def animation() -> bytes:
    file = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes that claims to be 30,000 pixels wide and high."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_is_kept_byte_for_byte(mode: str) -> None:
    content = encoded("JPEG", mode)
    assert as_jpeg(content) == content


@pytest.mark.parametrize(
    "content",
    [
        *(encoded("PNG", mode) for mode in ("RGB", "RGBA", "L", "P", "1")),
        encoded("WEBP"),
        encoded("BMP"),
        animation(),
    ],
)
def test_other_formats_become_rgb_jpegs(content: bytes) -> None:
    with Image.open(io.BytesIO(as_jpeg(content))) as image, Image.open(io.BytesIO(content)) as source:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", source.size)


def test_the_first_frame_of_an_animation_counts() -> None:
    with Image.open(io.BytesIO(as_jpeg(animation()))) as image:
        red, green, blue = image.getpixel((4, 4))  # type: ignore[misc]
    assert red > 200 > 50 > max(green, blue)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "zero bytes"),
        (b"<html>not found</html>", "no image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image"),
        (encoded("JPEG")[:-200], "cut off or damaged"),
        (encoded("JPEG")[:300], "no image|cut off or damaged"),
        (encoded("PNG")[:-2000], "cut off or damaged"),
        (encoded("PNG").replace(b"IDAT", b"IDAX", 1), "no image|cut off or damaged"),
        (bomb(), "bomb"),
    ],
)
def test_what_does_not_decode_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=reason):
        as_jpeg(content)
    (tmp_path / "1.jpg").write_bytes(content)
    assert not is_whole(tmp_path / "1.jpg")


@pytest.mark.parametrize(
    "content", [encoded("JPEG", "CMYK"), encoded("JPEG", "L"), encoded("PNG"), animation()]
)
def test_what_decodes_is_whole_whatever_its_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(content)
    assert is_whole(tmp_path / "1.jpg")


def test_any_cut_of_a_jpeg_is_noticed(tmp_path: Path) -> None:
    content, path = encoded("JPEG"), tmp_path / "1.jpg"
    for length in range(0, len(content) - 1, len(content) // 40):
        path.write_bytes(content[:length])
        assert not is_whole(path), length


def test_the_real_posters_are_whole(shared_data: Path) -> None:
    """One of them is a PNG under the name of a JPEG, one is greyscale."""
    posters = sorted((shared_data / "ml-1m" / "posters").glob("*.jpg"))[::20]
    assert len(posters) > 150
    assert [path.name for path in posters if not is_whole(path)] == []
