"""OASIS photographs (Kurdi et al., 2017) with beauty by individuals (Brielmann & Pelli, 2019)."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.profiles.traits import Traits
from aesmamba_sdk.scores import Scale
from aesmamba_sdk.train.datasets.dataset import Categories, Dataset, Rating, Sample
from aesmamba_sdk.train.datasets.images import Images
from aesmamba_sdk.train.datasets.table import Row, read_csv

SCALE = Scale(1, 7)
CATEGORIES = Categories(6, low=1)
"""Whole parts of the mean, 1 to 6; 7 is in the last."""
GROUPS = ("subset1", "subset2", "subset3")
"""Everyone rated the photos of one group, and of no other."""
_EDUCATION = {
    "gradeSchool": "grade school",
    "highSchool": "high school",
    "someCollege": "some college",
    "collegeDegree": "college degree",
    "graduateDegree": "graduate degree",
}


def read_oasis(folder: Path, split: str = "all") -> Dataset:
    """Read OASIS.

    Args:
        folder: holds ``images.csv`` (``image``, ``category``, ``group``), ``users.csv`` (``user``,
            ``group``, ``age``, ``gender``, ``education``), ``ratings.csv`` (``user``, ``image``,
            ``beauty`` of 1-7), and the photos, in ``images.zip``, ``images/`` or the folder.
        split: a rating group, ``subset1``, ``subset2`` or ``subset3``: its photos, its people
            and their ratings; or ``all`` of them.

    Raises:
        DatasetError: a file, column or value is not as described, or a rating's person or photo is
            unknown, of another group than the other, or there twice.
    """
    if split not in (*GROUPS, "all"):
        raise DatasetError(f"OASIS has no split {split!r}; expected {', '.join(GROUPS)} or all")
    photos = {row.text("image"): row for row in read_csv(folder / "images.csv", _PHOTO)}
    people = {row.text("user"): row for row in read_csv(folder / "users.csv", _PERSON)}
    wanted = {name: row for name, row in photos.items() if split in ("all", _group(row))}
    index = {name: i for i, name in enumerate(wanted)}
    ratings = tuple(
        Rating(user, index[image], (score,))
        for (user, image), score in _ratings(folder / "ratings.csv", people, photos).items()
        if image in index
    )
    given: dict[int, list[float]] = defaultdict(list)
    for rating in ratings:
        given[rating.sample].append(rating.scores[0])
    return Dataset(
        name=f"oasis-{split}",
        attributes=("aesthetic",),
        scales=(SCALE,),
        categories=CATEGORIES,
        samples=tuple(
            Sample(name, (_mean(given[index[name]]),), str(row)) for name, row in wanted.items()
        ),
        images=Images(folder / "images", folder),
        ratings=ratings,
        people={n: _traits(row) for n, row in people.items() if split in ("all", _group(row))},
    )


_PHOTO = ("image", "group")
_PERSON = ("user", "group", "age", "gender", "education")
_RATING = ("user", "image", "beauty")


def _ratings(
    file: Path, people: dict[str, Row], photos: dict[str, Row]
) -> dict[tuple[str, str], float]:
    """Who and which photo to the rating; empty cells are left out."""
    found: dict[tuple[str, str], float] = {}
    for row in read_csv(file, _RATING):
        user, image = row.text("user"), row.text("image")
        if user not in people:
            raise row.problem("user", "a user of users.csv")
        if image not in photos:
            raise row.problem("image", "a photo of images.csv")
        if _group(people[user]) != _group(photos[image]):
            raise row.problem("image", f"a photo of {user}'s group {_group(people[user])}")
        if (user, image) in found:
            raise row.problem("image", f"a photo that {user} has not rated before")
        score = row.score("beauty", SCALE)
        if not math.isnan(score):
            found[user, image] = score
    return found


def _group(row: Row) -> str:
    if row.text("group") not in GROUPS:
        raise row.problem("group", ", ".join(GROUPS))
    return row.text("group")


def _traits(row: Row) -> Traits:
    known = {name: row.values[name].strip() or None for name in ("age", "gender", "education")}
    education = known["education"]
    if education is not None:
        known["education"] = _EDUCATION.get(education, education)
    return Traits.from_dict(known)


def _mean(scores: list[float]) -> float:
    return sum(scores) / len(scores) if scores else math.nan
