"""What the encoder sees of a photo does not depend on the size it was kept at."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from aesmamba_sdk.model.preprocess import prepare, squash
from aesmamba_sdk.photos.limits import MAX_SIDE
from tests import toy

BRIGHTER_LEFT = dataclasses.replace(toy.CONFIG, brighter_left=True)


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


def lit_from(side: str, seed: int = 0) -> Image.Image:
    """A photo that becomes brighter towards a side."""
    light = np.linspace(0.5, 1.5, 90)[None, :, None]
    photo = np.asarray(toy.photo(0.4, seed).resize((90, 60)))
    lit = Image.fromarray((photo * light).clip(0, 255).astype(np.uint8))
    return lit if side == "right" else ImageOps.mirror(lit)


def test_a_photo_and_its_mirror_image_are_one_to_a_model_that_is_shown_the_brighter_half_left():
    photos = [lit_from("right"), lit_from("left", 1), textured(80, 64)]
    mirrored = [ImageOps.mirror(photo) for photo in photos]
    seen, others = (prepare(some, BRIGHTER_LEFT) for some in (photos, mirrored))
    assert (seen - others).abs().max() < 0.02  # half of one of 255 levels
    assert (seen[..., :16].mean((1, 2, 3)) > seen[..., 16:].mean((1, 2, 3))).all()


def test_the_public_models_see_a_photo_as_it_is():
    photo = lit_from("right")
    seen = prepare([photo, ImageOps.mirror(photo)], toy.CONFIG)
    assert seen[0, ..., :16].mean() < seen[0, ..., 16:].mean()
    assert (seen[0] - seen[1].flip(2)).abs().max() < 0.02


def test_an_altered_photo_is_mirrored_where_the_photo_is():
    photo, darkened = lit_from("right"), lit_from("left", 1)
    alone, altered = prepare([darkened], BRIGHTER_LEFT), prepare([darkened], BRIGHTER_LEFT, photo)
    assert torch.equal(altered, alone.flip(3))


def test_a_photo_that_is_the_same_in_the_mirror_stays_as_it_is():
    half = np.asarray(textured(32, 64))
    photo = Image.fromarray(np.concatenate([half, half[:, ::-1]], 1))
    assert torch.equal(prepare([photo], BRIGHTER_LEFT), prepare([photo], toy.CONFIG))
