from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from genrec.features.images.decode import UnreadableImage
from genrec.features.images.thumbnail import thumbnail


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK"])
def test_proportions_are_kept(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "poster.jpg"
    Image.new("RGB", (185, 278), (200, 30, 30)).convert(mode).save(path, "TIFF" if mode == "P" else "JPEG")
    with Image.open(io.BytesIO(thumbnail(path, height=60))) as small:
        assert (small.format, small.mode, small.size) == ("JPEG", "RGB", (40, 60))
        red = small.getpixel((20, 30))
    assert isinstance(red, tuple)
    assert (red[0] > 100 and red[1] < 80) or mode == "L"


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "poster.jpg").write_bytes(b"<html>")
    with pytest.raises(UnreadableImage, match="not an image"):
        thumbnail(tmp_path / "poster.jpg")
