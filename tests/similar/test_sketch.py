"""Sketches against plain loops over every size and place."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from aesmamba_sdk.similar.sketch import SIDE, SIZES, Sketcher, alignment


def picture(seed: int) -> Image.Image:
    """Some shapes on a slope of light."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(*rng.uniform(20, 220, 2), 240)
    image = Image.fromarray(np.tile(slope, (160, 1)).astype(np.uint8)).convert("RGB")
    draw = ImageDraw.Draw(image)
    for _ in range(8):
        x, y = rng.uniform(0, (200, 120))
        w, h = rng.uniform(15, 80, 2)
        draw.ellipse((x, y, x + w, y + h), fill=tuple(rng.integers(0, 255, 3).tolist()))
    return image


def sketches(*images):
    return Sketcher()(images).reshape(-1, SIDE, SIDE)


def slowly(one, other):
    """Best agreement of either, made smaller, with any window of the other."""
    best = -1.0
    for wide, narrow in ((one, other), (other, one)):
        for size in SIZES:
            small = np.zeros((size, size))
            fine = np.kron(narrow, np.ones((size, size)))
            for y in range(size):
                for x in range(size):
                    rows, columns = slice(y * SIDE, (y + 1) * SIDE), slice(x * SIDE, (x + 1) * SIDE)
                    small[y, x] = fine[rows, columns].mean()
            for y in range(SIDE - size + 1):
                for x in range(SIDE - size + 1):
                    window = wide[y : y + size, x : x + size]
                    product = ((window - window.mean()) * (small - small.mean())).mean()
                    best = max(best, product / ((window.std() + 2) * (small.std() + 2)))
    return best


def test_alignment_is_the_best_of_every_size_and_place():
    one, *others = sketches(*(picture(seed) for seed in range(3)))
    expected = [slowly(one, other) for other in others]
    np.testing.assert_allclose(alignment(one, np.stack(others)), expected, atol=1e-4)


def test_crops_exposure_and_size_hardly_matter_but_the_picture_does():
    image = picture(0)
    crop = image.crop((20, 5, 230, 150))
    brighter = image.point(lambda level: level * 0.6 + 20)
    small = image.resize((60, 40))
    one, *same = sketches(image, crop, brighter, small)
    assert alignment(one, np.stack(same)).min() > 0.8
    assert alignment(one, sketches(*(picture(seed) for seed in range(1, 9)))).max() < 0.8


def test_plain_pictures_are_not_taken_for_the_same():
    plain = [Image.new("RGB", (90, 60), (90, 140, 200)), Image.new("RGB", (90, 60), "white")]
    one, other = sketches(*plain)
    assert alignment(one, other[None])[0] == pytest.approx(0, abs=1e-6)
