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
    ruined, lowered = views.ruin(clean, labels, 0.25, torch.Generator().manual_seed(1))
    changed = (ruined != clean).flatten(1).any(1)
    assert 70 < changed.sum() < 130
    assert torch.equal(lowered[:, 0] < 3.0, changed)
    assert (lowered[:, 0] >= 1.0).all()
    assert lowered[:, 1].isnan().all()
    assert 0 <= ruined.min() <= ruined.max() <= 255


def test_no_photo_is_ruined_unasked():
    clean, labels = images(50), torch.full((50, 1), 3.0)
    same, scores = views.ruin(clean, labels, 0.0, torch.Generator().manual_seed(1))
    assert torch.equal(same, clean)
    assert torch.equal(scores, labels)


@pytest.mark.parametrize("way", [views._blur, views._noise, views._expose, views._compress])
def test_the_more_severe_the_further_from_the_photo(way):
    clean = images(1)[0]
    errors = []
    for severity in (0.4, 0.7, 1.0):
        generator = torch.Generator().manual_seed(0)
        errors.append((way(clean, severity, True, generator) - clean).abs().mean().item())
    assert 2 < errors[0] < errors[1] < errors[2]
