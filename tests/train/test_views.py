"""Ruined photos differ from what they were, and their scores fall with them."""

from __future__ import annotations

import pytest
import torch

from aesmamba_sdk.train import views


def images(count: int) -> torch.Tensor:
    """Smooth photos with edges, away from black and white."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 6, 6, generator=generator)
    return 60 + 130 * torch.nn.functional.interpolate(coarse, (48, 48))


def test_ruined_photos_score_less_and_the_others_stay():
    clean, labels = images(400), torch.full((400, 2), 3.0)
    labels[:, 1] = float("nan")
    seen = views.ruin(clean, labels, 0.25, torch.Generator().manual_seed(1))
    ruined, lowered = seen.images, seen.scores
    changed = (ruined != clean).flatten(1).any(1)
    assert 70 < changed.sum() < 130
    assert torch.equal(lowered[:, 0] < 3.0, changed)
    assert torch.equal(seen.ruined, changed)
    assert (lowered[:, 0] >= 1.0).all()
    assert lowered[:, 1].isnan().all()
    assert 0 <= ruined.min() <= ruined.max() <= 255


def test_no_photo_is_ruined_unasked():
    clean, labels = images(50), torch.full((50, 1), 3.0)
    same = views.ruin(clean, labels, 0.0, torch.Generator().manual_seed(1))
    assert torch.equal(same.images, clean)
    assert torch.equal(same.scores, labels)
    assert not same.ruined.any()


def test_blended_photos_lie_between_two_and_have_no_score():
    """Plain photos have one colour, however they are cropped: their blends lie on a line."""
    levels = torch.linspace(20, 230, 200)[:, None, None, None]
    pixels = levels.expand(200, 3, 24, 24).round().byte()
    clean, labels = views.resize(pixels, 16), torch.full((200, 2), 3.0)
    every = views.Views(clean, labels, torch.ones(200, dtype=torch.bool), clean)
    mixed = views.blend(pixels, every, 0.5, torch.Generator().manual_seed(1))
    blended, left = mixed.images, mixed.scores
    chosen = left.isnan().all(1)
    assert 70 < chosen.sum() < 130
    assert torch.equal(mixed.ruined, ~chosen)
    torch.testing.assert_close(blended[~chosen], clean[~chosen])
    assert (left[~chosen] == 3.0).all()
    assert blended[chosen].flatten(1).std(1).max() < 1e-3
    assert 19.9 < blended.min() <= blended.max() < 230.1
    moved = (blended - clean)[chosen].abs().mean((1, 2, 3))
    assert (moved > 1).float().mean() > 0.9


def test_the_last_of_a_batch_are_mirror_images_of_its_first():
    images, scores = torch.rand(5, 3, 4, 4), torch.arange(5.0)[:, None]
    ruined = torch.tensor([True, False, False, True, False])
    seen = views.mirror(views.Views(images, scores, ruined, images + 1), 2)
    assert torch.equal(seen.images[:3], images[:3])
    for own, first in ((seen.images, images), (seen.clear, images + 1)):
        assert torch.equal(own[3:], first[:2].flip(3))
    assert seen.scores.flatten().tolist() == [0, 1, 2, 0, 1]
    assert seen.ruined.tolist() == [True, False, False, True, False]


def test_softened_photos_swing_less_and_are_as_bright():
    """Of stripes two pixels wide, every pixel is beside an edge and takes a quarter from beyond."""
    stripes = torch.tensor([100.0, 100, 156, 156]).repeat(12).expand(200, 3, 48, 48)
    clear = views.Views(stripes, torch.ones(200, 1), torch.zeros(200, dtype=torch.bool), stripes)
    seen = views.soften(clear, 0.8, torch.Generator().manual_seed(1))
    assert seen.clear is stripes
    inside = seen.images[..., 2:-2]
    swings = (inside.amax((1, 2, 3)) - inside.amin((1, 2, 3))) / 56
    assert 0.59 < swings.min() < 0.62
    assert swings.max() > 0.98
    torch.testing.assert_close(inside.mean((1, 2, 3)), torch.full((200,), 128.0))
    assert views.soften(clear, 0.0, torch.Generator()) is clear


def test_a_hard_crop_shows_a_part_larger():
    """Of a ramp from left to right: what is left of its span is the share of its width."""
    ramp = torch.linspace(0, 255, 96).expand(3, 96, 96)
    generator = torch.Generator().manual_seed(0)
    spans = []
    for _ in range(200):
        crop = views._hard_crop(ramp, 32, generator)
        assert crop.shape == (3, 32, 32)
        spans.append((crop[0, 0].max() - crop[0, 0].min()).item() / 255)
    # Areas from 0.2 to 1 at ratios from 3/4 to 4/3: widths from 0.39 on.
    assert 0.3 < min(spans) < 0.5
    assert max(spans) > 0.93


def test_a_wrong_exposure_is_wrong_by_stops_of_light():
    grey = torch.full((3, 4, 4), 128.0)
    an_eighth = 255 * ((128 / 255) ** 2.2 / 8) ** (1 / 2.2)
    generator = torch.Generator()
    torch.testing.assert_close(
        views._expose(grey, 0.6, True, generator), torch.full_like(grey, an_eighth)
    )
    assert (views._expose(grey, 0.6, False, generator) == 255).all()


@pytest.mark.parametrize("way", [views._blur, views._noise, views._expose, views._compress])
def test_the_more_severe_the_further_from_the_photo(way):
    clean = images(1)[0]
    errors = []
    for severity in (0.4, 0.7, 1.0):
        generator = torch.Generator().manual_seed(0)
        errors.append((way(clean, severity, True, generator) - clean).abs().mean().item())
    assert 2 < errors[0] < errors[1] < errors[2]
