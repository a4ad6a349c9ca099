"""Which regions of a photo raise or lower its score, by covering one after the other.

Leaving a region's tokens out of the pooled feature would cost nothing, but the scan has carried
the whole photo into every token by then: for the nano model the two agree hardly more than chance
would (rank correlation 0.17 ± 0.35 over twelve photographs). Covering asks about pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aesmamba_sdk.personalize.blend import Vector

GRID = 6
"""Regions a side."""
_BATCH = 12


def region_effects(
    image: Image.Image, score: Callable[[Sequence[Image.Image]], Vector]
) -> NDArray[np.float64]:
    """Score of the photo minus its score with each region covered, (GRID, GRID).

    Covered means painted in the mean colour of the photo. A positive effect says that the score
    would be lower without what is there. An effect is that of one region alone: what two show
    together (a face, a horizon) is not the sum of both. The flat patch is itself something that a
    model may dislike, which moves all effects up a little; the order of regions tells more than
    the sign of small ones.

    Args:
        image: RGB, upright.
        score: of images, on any scale, (n,).
    """
    images = [image, *_covered(image)]
    batches = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
    scores = np.concatenate([score(batch) for batch in batches])
    effects: NDArray[np.float64] = (scores[0] - scores[1:]).reshape(GRID, GRID)
    return effects


def _covered(image: Image.Image) -> Iterator[Image.Image]:
    """The photo without each region, row by row."""
    pixels = np.asarray(image)
    usual = pixels.mean((0, 1)).round().astype(np.uint8)
    rows, columns = (
        np.linspace(0, side, GRID + 1).round().astype(int) for side in pixels.shape[:2]
    )
    for i, j in product(range(GRID), repeat=2):
        without = pixels.copy()
        without[rows[i] : rows[i + 1], columns[j] : columns[j + 1]] = usual
        yield Image.fromarray(without)
