"""Directions in which what is kept of photos tells what is in them."""

from __future__ import annotations

import numpy as np
import torch

from aesmamba_sdk.personalize.space import PhotoSpace
from aesmamba_sdk.train.content import AXES, content_axes

KEPT, TOLD = 12, 3


def made(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers of any size, of which three directions tell what another network sees, in noise."""
    random = torch.Generator().manual_seed(7)
    sizes = 10 ** torch.linspace(-1, 1, KEPT)
    told = torch.randn(KEPT, TOLD, generator=random)
    mixed = torch.randn(TOLD, 40, generator=random)
    photos = torch.Generator().manual_seed(seed)
    plain = torch.randn(count, KEPT, generator=photos)
    content = plain @ told @ mixed + torch.randn(count, 40, generator=photos)
    return plain * sizes + 5, content


def test_photos_are_near_that_show_the_same():
    kept, content = made(2000)
    axes = content_axes(kept, content).numpy()
    assert axes.shape[0] == KEPT
    assert axes.shape[1] <= AXES
    unseen, truth = made(200, seed=1)
    clean = truth - made_noise(200, seed=1)
    points = PhotoSpace.of(kept.numpy(), axes)(unseen.numpy())[:, : axes.shape[1]]
    assert distances_agree(points, clean.numpy()) > 0.98
    plain = PhotoSpace.of(kept.numpy())
    assert distances_agree(plain(unseen.numpy())[:, : plain.axes.shape[1]], clean.numpy()) < 0.8


def made_noise(count: int, seed: int) -> torch.Tensor:
    photos = torch.Generator().manual_seed(seed)
    torch.randn(count, KEPT, generator=photos)
    return torch.randn(count, 40, generator=photos)


def distances_agree(one: np.ndarray, other: np.ndarray) -> float:
    pairs = np.triu_indices(len(one), 1)
    apart = [np.linalg.norm(x[pairs[0]] - x[pairs[1]], axis=1) for x in (one, other)]
    return float(np.corrcoef(*apart)[0, 1])


def test_numbers_that_never_vary_do_no_harm():
    kept, content = made(100)
    kept[:, 0] = 1.0
    assert content_axes(kept, content).isfinite().all()
