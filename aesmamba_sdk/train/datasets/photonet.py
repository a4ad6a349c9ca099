"""Photo.Net (Datta et al., 2006) with its comments: votes of 1 to 7."""

from __future__ import annotations

from pathlib import Path

from aesmamba_sdk.scores import Scale
from aesmamba_sdk.train.datasets.dataset import Categories, Dataset
from aesmamba_sdk.train.datasets.images import Images
from aesmamba_sdk.train.datasets.votes import read_votes

SCALE = Scale(1, 7)
CATEGORIES = Categories(4, low=3)
"""3.x, 4.x, 5.x and 6.x; a mean below 3 is in the first, one of 7 in the last."""


def read_photonet(folder: Path, split: str = "train") -> Dataset:
    """Read Photo.Net as AesMamba's public code lays it out.

    Args:
        folder: holds ``train.csv`` and ``test.csv`` with the columns ``index``, ``comment``,
            ``label`` (seven counts of votes) and ``score``, and the photos, in ``images/`` or the
            folder itself.
        split: ``train`` (11,249 photos officially) or ``test`` (968), as the files are split.

    Raises:
        DatasetError: a file, column, value or photo is not as described.
    """
    samples = tuple(read_votes(folder / f"{split}.csv", SCALE))
    images = Images(folder / "images", folder)
    return Dataset(f"photonet-{split}", ("aesthetic",), (SCALE,), CATEGORIES, samples, images)
