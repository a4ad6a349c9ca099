"""PARA (Yang et al., CVPR 2022): nine attributes of 31,220 photos, by 438 people with traits."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.profiles.traits import BIG_FIVE, Traits
from aesmamba_sdk.ratings.reader import ATTRIBUTE_COLUMNS
from aesmamba_sdk.scores import ATTRIBUTES, Scale
from aesmamba_sdk.train.datasets.dataset import Categories, Dataset, Rating, Sample
from aesmamba_sdk.train.datasets.images import Images
from aesmamba_sdk.train.datasets.people import read_people
from aesmamba_sdk.train.datasets.table import Row, read_csv, read_words

SCALE = Scale(1, 5)
CATEGORIES = Categories(4, low=1)
"""[1,2) [2,3) [3,4) [4,5]."""
LICENSE = "research and learning only, no commercial use (trained on PARA)"
LISTS = {
    "train": ["PARA-GiaaTrain.csv"],
    "test": ["PARA-GiaaTest.csv"],
    "all": ["PARA-GiaaTrain.csv", "PARA-GiaaTest.csv"],
}
_NAMES = {ours: theirs for theirs, ours in ATTRIBUTE_COLUMNS.items() if theirs != ours}
_MEANS = tuple(f"{_NAMES[attribute]}_mean" for attribute in ATTRIBUTES)
_RATED = tuple(_NAMES[attribute] for attribute in ATTRIBUTES)
_TRAITS = {
    "art_experience": "artExperience",
    "photo_experience": "photographyExperience",
    **{trait: f"personality-{trait[0].upper()}" for trait in BIG_FIVE},
    "age": "age",
    "gender": "gender",
    "education": "EducationalLevel",
}


def read_para(folder: Path, split: str = "train") -> Dataset:
    """Read PARA's mean scores (GIAA and FIAA), in its official layout or in that of its archives.

    Args:
        folder: officially, ``annotation/PARA-GiaaTrain.csv`` and ``PARA-GiaaTest.csv`` (or the
            same without ``annotation/``) with ``sessionId``, ``imageName`` and a ``..._mean`` of
            each attribute, and the photos, ``imgs/{sessionId}/{imageName}``. Else ``giaa.csv``
            (``image``, ``split``, ``aesthetic_mean``, ``quality_mean_outlier_removed``),
            ``fiaa.csv`` (``image``, ``..._mean``), ``fiaa_test.txt`` and archives of photos.
        split: ``train``, ``test`` or ``all``, the official lists. Of the archives: ``train``,
            aesthetic and quality alone; ``test``, the photos named in ``fiaa_test.txt`` with nine
            attributes; ``rest``, all others of ``fiaa.csv``.

    Raises:
        DatasetError: a file, column, value or photo is not as described.
    """
    if (folder / "giaa.csv").is_file():
        return _dataset(split, tuple(_archived(folder, split)), Images(folder))
    return _dataset(split, tuple(_official(folder, split)), _official_images(folder))


def read_para_people(folder: Path, split: str = "train") -> Dataset:
    """Read PARA's ratings by individuals (PIAA), beside the mean scores of the same photos.

    Args:
        folder: the official layout of :func:`read_para`, and ``PARA-Images.csv``: ``sessionId``,
            ``imageName``, ``userId`` and nine scores of 1-5; ``PARA-UserInfo.csv``: ``userId``,
            age, gender, education, experience and the Big Five of 1-10.
        split: ``train``, ``test`` or ``all``: whose photos' ratings.

    Raises:
        DatasetError: a file, column or value is not as described, or a rating's person is unknown.
    """
    samples = tuple(_official(folder, split))
    place = {sample.image: i for i, sample in enumerate(samples)}
    info = _annotation(folder, "PARA-UserInfo.csv")
    people = read_people(info, "userId", _TRAITS, tuple(_TRAITS.values()))
    rows = read_csv(_annotation(folder, "PARA-Images.csv"), [*_PHOTO, "userId", *_RATED])
    ratings = tuple(_ratings(rows, place, people))
    raters = {rating.user for rating in ratings}
    known = {user: traits for user, traits in people.items() if user in raters}
    return _dataset(split, samples, _official_images(folder), ratings, known)


_PHOTO = ("sessionId", "imageName")


def _dataset(
    split: str,
    samples: tuple[Sample, ...],
    images: Images,
    ratings: tuple[Rating, ...] = (),
    people: dict[str, Traits] | None = None,
) -> Dataset:
    scales = (SCALE,) * len(ATTRIBUTES)
    name = f"para-{split}"
    return Dataset(name, ATTRIBUTES, scales, CATEGORIES, samples, images, ratings, people or {})


def _official(folder: Path, split: str) -> Iterator[Sample]:
    if split not in LISTS:
        raise DatasetError(f"PARA has no split {split!r}; expected {', '.join(LISTS)}")
    for name in LISTS[split]:
        for row in read_csv(_annotation(folder, name), [*_PHOTO, *_MEANS]):
            yield Sample(_image(row), _scores(row, _MEANS), str(row))


def _archived(folder: Path, split: str) -> Iterator[Sample]:
    if split == "train":
        columns = ("aesthetic_mean", "quality_mean_outlier_removed")
        for row in read_csv(folder / "giaa.csv", ["image", "split", *columns]):
            if row.text("split") == split:
                unknown = ("",) * (len(ATTRIBUTES) - len(columns))
                yield Sample(row.text("image"), _scores(row, columns + unknown), str(row))
    elif split in ("rest", "test"):
        held_out = _held_out(folder / "fiaa_test.txt")
        for row in read_csv(folder / "fiaa.csv", ["image", *_MEANS]):
            if (row.text("image") in held_out) == (split == "test"):
                yield Sample(row.text("image"), _scores(row, _MEANS), str(row))
    else:
        raise DatasetError(f"PARA's archives have no split {split!r}; expected train, rest or test")


def _held_out(file: Path) -> Collection[str]:
    return {row.text("image") for row in read_words(file, ["image"])}


def _scores(row: Row, columns: tuple[str, ...]) -> tuple[float, ...]:
    return tuple(row.score(column, SCALE) for column in columns)


def _image(row: Row) -> str:
    return f"{row.text('sessionId')}/{row.text('imageName')}"


def _ratings(
    rows: Iterator[Row], place: dict[str, int], people: dict[str, Traits]
) -> Iterator[Rating]:
    for row in rows:
        user, image = row.text("userId"), _image(row)
        if user not in people:
            raise row.problem("userId", "a userId of PARA-UserInfo.csv")
        if image in place:
            yield Rating(user, place[image], _scores(row, _RATED))


def _annotation(folder: Path, name: str) -> Path:
    inside = folder / "annotation" / name
    return inside if inside.is_file() or not (folder / name).is_file() else folder / name


def _official_images(folder: Path) -> Images:
    return Images(folder / "imgs", folder)
