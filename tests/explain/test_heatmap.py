"""The picture of an explanation."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from aesmamba_sdk.errors import PhotoError
from aesmamba_sdk.explain.explanation import Explanation
from aesmamba_sdk.explain.heatmap import heat_map, is_heat_map, save_heat_map
from aesmamba_sdk.scores import UNIT_SCORES, Score


def explanation(regions):
    rows = tuple(tuple(map(float, row)) for row in regions)
    return Explanation(Score("a.png", 3.0, UNIT_SCORES), {}, rows, None, None, ())


def test_what_raises_is_orange_and_what_lowers_is_blue_where_they_are():
    regions = np.zeros((6, 6))
    regions[0, 0], regions[5, 5] = 0.2, -0.2
    photo = Image.new("RGB", (480, 360), (128, 128, 128))
    pixels = np.asarray(heat_map(photo, explanation(regions))).astype(int)
    red, _, blue = pixels[5, 5]
    assert red - blue > 100
    red, _, blue = pixels[355, 475]
    assert blue - red > 100
    assert np.ptp(pixels[180, 240]) == 0


def test_the_photo_stands_upright_above_its_legend(tmp_path):
    photo = tmp_path / "turned.jpg"
    lying = Image.new("RGB", (900, 600), "white")
    exif = lying.getexif()
    exif[0x0112] = 6
    lying.save(photo, exif=exif)
    picture = heat_map(photo, explanation(np.ones((6, 6))))
    assert picture.width < picture.height
    legend = np.asarray(picture)[512:]
    assert picture.height == 512 + len(legend)
    assert (legend == 0).any(), "no words"


@pytest.mark.parametrize(
    ("size", "height"), [((40, 20), 160), ((20, 40), 320), ((3, 2000), 512), ((2000, 3), 1)]
)
def test_a_small_or_narrow_photo_leaves_its_legend_room(size, height):
    picture = heat_map(Image.new("RGB", size), explanation(np.ones((6, 6))))
    assert (picture.width, picture.height) == (max(320, min(512, size[0])), height + 46)


def test_no_effects_leave_the_photo_grey():
    picture = heat_map(Image.new("RGB", (400, 300), "red"), explanation(np.zeros((6, 6))))
    assert np.ptp(np.asarray(picture)[:300].astype(int), axis=2).max() == 0


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_what_was_saved_is_told_from_other_files(tmp_path, suffix):
    file = tmp_path / f"map.{suffix}"
    picture = heat_map(Image.new("RGB", (40, 30)), explanation(np.ones((6, 6))))
    save_heat_map(picture, file)
    assert is_heat_map(file)
    picture.save(file)
    assert not is_heat_map(file)
    file.write_bytes(b"nonsense")
    assert not is_heat_map(file)


def test_a_photo_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(PhotoError, match=r"gone\.jpg"):
        heat_map(tmp_path / "gone.jpg", explanation(np.zeros((6, 6))))
