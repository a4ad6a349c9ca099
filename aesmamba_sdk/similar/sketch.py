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
Rows = NDArray[np.intp]
Sums = NDArray[np.float64]

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
    count = len(others)
    return alignments(
        np.concatenate([one[None], others]), np.zeros(count, np.intp), np.arange(1, count + 1)
    )


def alignments(sketches: Array, first: Rows, second: Rows) -> Array:
    """As :func:`alignment`, of many pairs at once: what a sketch needs is worked out once.

    Args:
        sketches: (n, SIDE, SIDE).
        first, second: rows of ``sketches``, (m,) each, that are laid over each other.

    Returns:
        (m,).
    """
    spectrum = np.fft.rfft2(sketches)
    sums, squares = _summed(sketches), _summed(np.square(sketches))
    best = np.full(len(first), -1.0, np.float32)
    for size in SIZES:
        shrink = _shrinking(size)
        patch = shrink @ sketches @ shrink.T
        patch = patch - patch.mean((1, 2), keepdims=True)
        turned = np.fft.rfft2(patch, s=(SIDE, SIDE)).conj()
        contrast = patch.std((1, 2), keepdims=True) + _FLOOR
        surroundings = _window_contrast(sums, squares, size) + _FLOOR
        # Windows that lie inside: there the circular correlation is the plain one.
        count = SIDE - size + 1
        for wide, narrow in ((first, second), (second, first)):
            rows = np.fft.ifft(spectrum[wide] * turned[narrow], axis=1)[:, :count]
            products = np.fft.irfft(rows, SIDE)[:, :, :count]
            agreement = products / (size * size * contrast[narrow] * surroundings[wide])
            best = np.maximum(best, agreement.max((1, 2)).astype(np.float32))
    return best


def _window_contrast(sums: Sums, squares: Sums, size: int) -> Sums:
    """Standard deviation of every window of this size, (n, SIDE-size+1, SIDE-size+1)."""
    mean, square = (_window_mean(table, size) for table in (sums, squares))
    return np.sqrt(np.maximum(square - mean * mean, 0))


def _window_mean(sums: Sums, size: int) -> Sums:
    top, bottom = sums[:, :-size], sums[:, size:]
    window = bottom[:, :, size:] - bottom[:, :, :-size] - top[:, :, size:] + top[:, :, :-size]
    return window / (size * size)


def _summed(values: Array) -> Sums:
    """Sums of all that lies above and left of each corner, (n, SIDE+1, SIDE+1)."""
    sums = np.zeros((len(values), SIDE + 1, SIDE + 1))
    sums[:, 1:, 1:] = values.cumsum(1, dtype=np.float64).cumsum(2)
    return sums


@cache
def _shrinking(size: int) -> Array:
    """The matrix that averages SIDE values to ``size`` by area, (size, SIDE)."""
    edges = np.arange(size + 1) * SIDE / size
    pixels = np.arange(SIDE)
    low, high = np.maximum(edges[:-1, None], pixels), np.minimum(edges[1:, None], pixels + 1)
    return np.asarray(np.maximum(high - low, 0) * size / SIDE, np.float32)
