"""TAD66K (He et al., IJCAI 2022): one score a photo, on 0-10."""

from __future__ import annotations

from pathlib import Path

from aesmamba_sdk.scores import Scale
from aesmamba_sdk.train.datasets.dataset import Categories, Dataset, Sample
from aesmamba_sdk.train.datasets.images import Images
from aesmamba_sdk.train.datasets.table import read_csv

SCALE = Scale(0, 10)
CATEGORIES = Categories(5, low=0, per_unit=0.5)
"""min(floor(score / 2), 4)."""


def read_tad66k(folder: Path, split: str = "train") -> Dataset:
    """Read TAD66K.

    Args:
        folder: holds ``labels/merge/train.csv`` and ``test.csv`` with the columns ``image`` and
            ``score``, and the photos, in ``TAD66K/``, ``imgs/`` or the folder itself.
        split: ``train`` (52,248 photos officially) or ``test``, as the files are split.

    Raises:
        DatasetError: a file, column, value or photo is not as described.
    """
    rows = read_csv(folder / "labels" / "merge" / f"{split}.csv", ["image", "score"])
    samples = tuple(
        Sample(row.text("image"), (row.score("score", SCALE),), str(row)) for row in rows
    )
    images = Images(folder, folder / "TAD66K", folder / "imgs")
    return Dataset(f"tad66k-{split}", ("aesthetic",), (SCALE,), CATEGORIES, samples, images)
