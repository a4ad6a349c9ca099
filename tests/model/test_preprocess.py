"""What the encoder sees of a photo does not depend on the size it was kept at."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from aesmamba_sdk.model.preprocess import squash
from aesmamba_sdk.photos.limits import MAX_SIDE


def textured(width: int, height: int) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


@pytest.mark.parametrize(("width", "height"), [(96, 96), (128, 60), (1, 3), (MAX_SIDE, 40)])
def test_photos_become_squares(width, height):
    assert squash(textured(width, height), 64).size == (64, 64)


def test_an_enlarged_copy_is_seen_as_the_photo_is():
    photo = textured(128, 96)
    copy = photo.resize((512, 384), Image.Resampling.BICUBIC)
    difference = np.subtract(squash(photo, 96), squash(copy, 96), dtype=np.int16)
    assert np.abs(difference).max() <= 1


def test_a_large_photo_is_only_made_smaller():
    photo = textured(MAX_SIDE, 300)
    expected = photo.resize((96, 96), Image.Resampling.BICUBIC)
    assert np.array_equal(squash(photo, 96), expected)
