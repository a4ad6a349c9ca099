"""Which regions of a photo raise or lower its score, by covering one after the other.

Leaving a region's tokens out of the pooled feature would cost nothing, but the scan has carried
the whole photo into every token by then; what that says agrees only weakly with what covering
the pixels does (docs/explain.md has the figures).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

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

    Covered means painted in the mean colour of the photo, fully at the region's centre and fading
    to nothing at its neighbours' centres: hard edges would be things of their own. A positive
    effect says that the score would be lower without what is there. It is the effect of one region
    alone: what two show together (a face, a horizon) is not the sum of both.

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
    pixels = np.asarray(image, np.float32)
    usual = pixels.mean((0, 1))
    for region in np.eye(GRID * GRID, dtype=np.float32).reshape(-1, GRID, GRID):
        window = Image.fromarray(region).resize(image.size, Image.Resampling.BILINEAR)
        share = np.asarray(window)[..., None]
        without = pixels + share * (usual - pixels)
        yield Image.fromarray(without.round().astype(np.uint8))
