"""Pictures of every kind, whole and damaged."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genrec.features.images import decode
from genrec.features.images.decode import UnreadableImage, read_picture
from genrec.features.images.preparation import Preparation

SQUARE = Preparation(32, 36, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
RED, GREEN = (220, 30, 40), (20, 200, 60)


def drawing(mode: str = "RGB", size: tuple[int, int] = (90, 120)) -> Image.Image:
    """Red above, green below."""
    image = Image.new("RGB", size, RED)
    image.paste(GREEN, (0, size[1] // 2, *size))
    return image.convert(mode)


def corners(path: Path) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """The middle colours of the upper and the lower half."""
    square = read_picture(path, SQUARE).astype(np.int64)
    assert square.shape == (32, 32, 3)
    return np.stack([square[4, 16], square[28, 16]])


def shows_the_drawing(path: Path) -> bool:
    return bool((abs(corners(path) - np.array([RED, GREEN])) < 12).all())


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("a.jpg", "RGB"),
        ("a.png", "RGB"),
        ("a.png", "P"),
        ("a.png", "RGBA"),
        ("a.webp", "RGB"),
        ("a.bmp", "RGB"),
        ("a.gif", "P"),
        ("a.tif", "RGB"),
        ("a.jpg", "CMYK"),
        ("a.tif", "CMYK"),
        ("a.jpg", "YCbCr"),
    ],
)
def test_modes_and_formats_give_the_same_picture(tmp_path: Path, name: str, mode: str) -> None:
    drawing(mode).save(tmp_path / name)
    assert shows_the_drawing(tmp_path / name)


def test_the_content_tells_the_format_not_the_name(tmp_path: Path) -> None:
    drawing().save(tmp_path / "poster.jpg", "PNG")
    assert shows_the_drawing(tmp_path / "poster.jpg")


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_grey_is_grey(tmp_path: Path, mode: str) -> None:
    drawing("L").point(lambda level: 255 * (level > 100)).convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(corners(tmp_path / "a.png"), [[0] * 3, [255] * 3])


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_deep_grey_keeps_its_levels(tmp_path: Path, dtype: type[np.generic]) -> None:
    levels = np.zeros((60, 45), dtype)
    levels[:30], levels[45:] = 0x8000, 0xFFFF  # the middle level above, black and white below
    Image.fromarray(levels).save(tmp_path / "a.tif")
    square = read_picture(tmp_path / "a.tif", SQUARE).astype(np.int64)
    assert abs(square[4, 16] - 128).max() <= 2
    assert square.max() >= 253


def test_of_an_animation_the_first_frame_is_read(tmp_path: Path) -> None:
    other = Image.new("RGB", (90, 120), "blue")
    for name in ("a.gif", "a.webp", "a.png"):
        drawing().save(tmp_path / name, save_all=True, append_images=[other, other])
        assert shows_the_drawing(tmp_path / name), name


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    image = drawing("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 90, 60))
    image.save(tmp_path / "a.png")
    palette = Image.new("P", (90, 120), 0)
    palette.putpalette([0, 0, 0, *GREEN])
    palette.paste(1, (0, 60, 90, 120))
    palette.save(tmp_path / "b.png", transparency=0)
    for name in ("a.png", "b.png"):
        np.testing.assert_allclose(corners(tmp_path / name), [[255] * 3, GREEN], atol=3)


def test_a_large_jpeg_is_decoded_small_and_looks_the_same(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (30, 20, 3), np.uint8)
    large = Image.fromarray(noise).resize((400, 600), Image.Resampling.BICUBIC)
    large.save(tmp_path / "a.jpg", quality=95)
    large.save(tmp_path / "a.png")
    drafted, exact = (read_picture(tmp_path / name, SQUARE).astype(float) for name in ("a.jpg", "a.png"))
    assert abs(drafted - exact).mean() < 4


def refusal(path: Path) -> str:
    with pytest.raises(UnreadableImage) as caught:
        read_picture(path, SQUARE)
    return str(caught.value)


def test_damaged_files_are_refused_with_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    assert refusal(file) == "the file is missing"
    file.write_bytes(b"")
    assert refusal(file) == "the file is empty"
    file.write_bytes(b"<html>Not found</html>")
    assert refusal(file) == "not an image in a known format"
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF"):
        Image.effect_noise((90, 120), 50).convert("RGB").save(file, kind)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        assert refusal(file).startswith(("damaged: ", "not an image")), kind


def png_of(width: int, height: int) -> bytes:
    """The beginning of a PNG that claims a size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100))


@pytest.mark.parametrize("size", [(9000, 8000), (11_000, 10_000), (40_000, 40_000)])
def test_a_decompression_bomb_is_refused_unread(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "a.png").write_bytes(png_of(*size))
    assert "decompression bomb" in refusal(tmp_path / "a.png")


def test_the_largest_allowed_picture_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing().save(tmp_path / "a.png")
    monkeypatch.setattr(decode, "MAX_PIXELS", 90 * 120)
    assert shows_the_drawing(tmp_path / "a.png")
    monkeypatch.setattr(decode, "MAX_PIXELS", 90 * 120 - 1)
    assert "decompression bomb" in refusal(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_whatever_bytes_are_wrong_it_is_a_picture_or_a_refusal(tmp_path: Path, kind: str) -> None:
    rng, file = random.Random(kind), tmp_path / "a"
    drawing(size=(40, 50)).save(file, kind)
    whole = file.read_bytes()
    refused = 0
    for _ in range(60):
        content = bytearray(whole)
        for _ in range(rng.randrange(1, 6)):
            content[rng.randrange(len(content) if rng.random() < 0.5 else min(len(content), 200))] = (
                rng.randrange(256)
            )
        file.write_bytes(content[: rng.randrange(1, len(content)) if rng.random() < 0.2 else None])
        try:
            assert read_picture(file, SQUARE).shape == (32, 32, 3)
        except UnreadableImage:
            refused += 1
    assert refused > 0


def test_the_odd_real_posters_are_decoded(shared_data: Path) -> None:
    posters = [path for path in sorted((shared_data / "ml-1m/posters").iterdir()) if is_odd(path)]
    assert len(posters) >= 2, "a PNG named .jpg, and a grey one"
    for path in posters:
        assert read_picture(path, SQUARE).std() > 5


def is_odd(path: Path) -> bool:
    with Image.open(path) as image:
        return image.format != "JPEG" or image.mode != "RGB"
