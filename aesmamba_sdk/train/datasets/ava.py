"""AVA (Murray et al., CVPR 2012): votes of 1 to 10 on 255,530 photos of dpchallenge.com."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.scores import Scale
from aesmamba_sdk.train.datasets.dataset import Categories, Dataset, Sample
from aesmamba_sdk.train.datasets.images import Images
from aesmamba_sdk.train.datasets.table import read_words

SCALE = Scale(1, 10)
CATEGORIES = Categories(8, low=1)
"""Whole parts of the mean, 1 to 8."""
LISTS = {
    "train": "generic_ls_train.jpgl",
    "train_small": "generic_ss_train.jpgl",
    "test": "generic_test.jpgl",
}
_VOTES = tuple(f"votes of {k}" for k in range(1, 11))
_COLUMNS = ("index", "image", *_VOTES, "tag 1", "tag 2", "challenge")


def read_ava(folder: Path, split: str = "train") -> Dataset:
    """Read AVA.

    Args:
        folder: holds ``AVA.txt`` (15 numbers a row: index, image id, ten counts of votes, two
            tags, challenge), ``aesthetics_image_lists/`` and the photos ``{image id}.jpg``, in
            ``images/``, ``image/`` or the folder itself.
        split: ``train``, ``train_small`` or ``test``, the official lists ``generic_ls_train``,
            ``generic_ss_train`` and ``generic_test``; or ``all``, every row. The 80/20 split of
            the paper was not published.

    Raises:
        DatasetError: a file, value or photo is not as described, or a list names a photo that
            ``AVA.txt`` does not.
    """
    wanted = None if split == "all" else _listed(folder, split)
    samples = tuple(ava_samples(folder / "AVA.txt", wanted).values())
    return Dataset(
        f"ava-{split}", ("aesthetic",), (SCALE,), CATEGORIES, samples, ava_images(folder)
    )


def ava_images(folder: Path) -> Images:
    return Images(folder / "images", folder / "image", folder)


def ava_samples(file: Path, wanted: Collection[str] | None = None) -> dict[str, Sample]:
    """Image ids to the votes and mean scores of ``AVA.txt``, of all or of the wanted photos."""
    samples: dict[str, Sample] = {}
    for row in read_words(file, _COLUMNS):
        identity = row.text("image")
        if wanted is None or identity in wanted:
            shares = row.votes(_VOTES)
            votes = {"aesthetic": shares}
            samples[identity] = Sample(f"{identity}.jpg", (mean(shares),), str(row), votes)
    missing = set(wanted or ()) - samples.keys()
    if missing:
        raise DatasetError(
            f"{file}: no row for the photo {min(missing)}; expected every listed one"
        )
    return samples


def mean(shares: tuple[float, ...]) -> float:
    """Mean score of shares of votes of 1, 2, 3, ..."""
    return sum(k * share for k, share in enumerate(shares, 1))


def _listed(folder: Path, split: str) -> set[str]:
    if split not in LISTS:
        raise DatasetError(f"AVA has no split {split!r}; expected {', '.join(LISTS)} or all")
    file = folder / "aesthetics_image_lists" / LISTS[split]
    return {row.text("image") for row in read_words(file, ["image"])}
