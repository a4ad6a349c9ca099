"""AADB (Kong et al., ECCV 2016): one score a photo, on 0-1."""

from __future__ import annotations

from pathlib import Path

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.scores import Scale
from aesmamba_sdk.train.datasets.dataset import Categories, Dataset, Sample
from aesmamba_sdk.train.datasets.images import Images
from aesmamba_sdk.train.datasets.table import read_words

SCALE = Scale(0, 1)
CATEGORIES = Categories(5, low=0, per_unit=5)
"""min(floor(5 score), 4)."""
LISTS = {
    "train": "imgListTrainRegression_score.txt",
    "validation": "imgListValidationRegression_score.txt",
    "test": "imgListTestNewRegression_score.txt",
}
_PHOTOS = (
    "datasetImages_originalSize",
    "datasetImages_warp256",
    "originalSize_train",
    "originalSize_test",
)


def read_aadb(folder: Path, split: str = "train") -> Dataset:
    """Read AADB's overall scores; its eleven attributes are not among ours.

    Args:
        folder: holds ``imgListFiles_label/imgListTrainRegression_score.txt`` and its like, a photo
            and its score a row, and the photos, in ``datasetImages_originalSize/``,
            ``datasetImages_warp256/``, ``originalSize_train/``, ``originalSize_test/`` or the
            folder itself.
        split: ``train`` (8,458 photos officially), ``validation`` (500) or ``test`` (1,000).

    Raises:
        DatasetError: a file, value or photo is not as described.
    """
    if split not in LISTS:
        raise DatasetError(f"AADB has no split {split!r}; expected {', '.join(LISTS)}")
    rows = read_words(folder / "imgListFiles_label" / LISTS[split], ["image", "score"])
    samples = tuple(
        Sample(row.text("image"), (row.score("score", SCALE),), str(row)) for row in rows
    )
    images = Images(*(folder / place for place in _PHOTOS), folder)
    return Dataset(f"aadb-{split}", ("aesthetic",), (SCALE,), CATEGORIES, samples, images)
