from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as reference

from genrec.errors import ConfigError
from genrec.features.images.preparation import FILTERS, Preparation, resize_for

HALF = (0.5, 0.5, 0.5)


def noise(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(width * height)
    small = Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(185, 278), (500, 750), (301, 200), (224, 224), (40, 900)])
def test_the_square_is_that_of_resize_and_crop(size: tuple[int, int], name: str) -> None:
    image = noise(*size)
    mode = InterpolationMode(name)
    expected = reference.center_crop(reference.resize(image, 256, mode, antialias=True), 224)
    square = Preparation(224, 256, name, HALF, HALF).picture(image)
    difference = abs(square.astype(int) - np.asarray(expected).astype(int))
    assert difference.max() <= 2, "one step rounds once, two steps twice"
    assert difference.mean() < 0.2


def test_squashing_keeps_everything() -> None:
    image = noise(200, 300)
    expected = np.asarray(image.resize((64, 64), FILTERS["bicubic"])).astype(int)
    square = Preparation(64, 64, "bicubic", HALF, HALF, squash=True).picture(image)
    assert abs(square.astype(int) - expected).max() <= 1


def test_a_crop_share_is_rounded_as_timm_does() -> None:
    assert [resize_for(224, 0.875), resize_for(240, 0.882), resize_for(260, 0.89), resize_for(224, 1.0)] == [
        256,
        272,
        292,
        224,
    ]


def test_arguments_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"Preparation\.filter must be one of nearest, bilinear"):
        Preparation(224, 256, "box", HALF, HALF)
    with pytest.raises(ConfigError, match=r"Preparation\.size must be in 1\.\.200"):
        Preparation(224, 200, "bicubic", HALF, HALF)
