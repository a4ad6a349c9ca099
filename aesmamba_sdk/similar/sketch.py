"""Small grey pictures of photos, and whether one is found in another.

They are laid over each other at several sizes and places, so that crops, shifted shots and copies
of any size and quality are found. What they show is compared by normalized cross-correlation.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]

SIDE = 32
"""Of a sketch, in pixels; its aspect ratio is lost, as for the encoder."""
SIZES = (32, 30, 28, 26, 24)
"""A sketch is looked for in another at these sizes: crops to 56 % of the area."""
_FLOOR = 2.0
"""Grey levels of contrast that count as none, so that plain skies are not all the same."""


class Sketcher:
    """Makes sketches as an :class:`ImageEncoder` makes features: the cache keeps them alike."""

    key = f"sketch-{SIDE}"

    def __call__(self, images: Sequence[Image.Image]) -> Array:
        """RGB images to grey levels 0-255, (len(images), SIDE * SIDE)."""
        box = Image.Resampling.BOX
        grey = [image.convert("L").resize((SIDE, SIDE), box) for image in images]
        return np.stack([np.asarray(g, np.float32).reshape(-1) for g in grey])


def alignment(one: Array, others: Array) -> Array:
    """How well a sketch agrees with others, either inside the other.

    Args:
        one: (SIDE, SIDE).
        others: (n, SIDE, SIDE).

    Returns:
        (n,), up to 1, which the same sketch with much contrast comes near to.
    """
    repeated = np.broadcast_to(one, others.shape)
    return np.maximum(_found(repeated, others), _found(others, repeated))


def _found(wide: Array, narrow: Array) -> Array:
    """Best correlation of each of ``narrow``, made smaller, with a window of its ``wide``."""
    spectrum = np.fft.rfft2(wide)
    best = np.full(len(wide), -1.0, np.float32)
    for size in SIZES:
        shrink = _shrinking(size)
        patch = shrink @ narrow @ shrink.T
        patch = patch - patch.mean((1, 2), keepdims=True)
        turned = np.fft.rfft2(patch, s=(SIDE, SIDE)).conj()
        # Windows that lie inside: there the circular correlation is the plain one.
        inside = slice(0, SIDE - size + 1)
        products = np.fft.irfft2(spectrum * turned, s=(SIDE, SIDE))[:, inside, inside]
        contrast = patch.std((1, 2), keepdims=True) + _FLOOR
        agreement = products / (size * size * contrast * (_window_contrast(wide, size) + _FLOOR))
        best = np.maximum(best, agreement.max((1, 2)).astype(np.float32))
    return best


def _window_contrast(wide: Array, size: int) -> NDArray[np.float64]:
    """Standard deviation of every window of this size, (n, SIDE-size+1, SIDE-size+1)."""
    mean, square = (_window_mean(values, size) for values in (wide, np.square(wide)))
    return np.sqrt(np.maximum(square - mean * mean, 0))


def _window_mean(values: Array, size: int) -> NDArray[np.float64]:
    sums = np.zeros((len(values), SIDE + 1, SIDE + 1))
    sums[:, 1:, 1:] = values.cumsum(1, dtype=np.float64).cumsum(2)
    top, bottom = sums[:, :-size], sums[:, size:]
    window = bottom[:, :, size:] - bottom[:, :, :-size] - top[:, :, size:] + top[:, :, :-size]
    return window / (size * size)


@cache
def _shrinking(size: int) -> Array:
    """The matrix that averages SIDE values to ``size`` by area, (size, SIDE)."""
    edges = np.arange(size + 1) * SIDE / size
    pixels = np.arange(SIDE)
    low, high = np.maximum(edges[:-1, None], pixels), np.minimum(edges[1:, None], pixels + 1)
    return np.asarray(np.maximum(high - low, 0) * size / SIDE, np.float32)
