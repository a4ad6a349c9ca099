"""Any folder of photos with a CSV table of scores, made by whoever has photos and opinions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.profiles.traits import BIG_FIVE, Traits
from aesmamba_sdk.ratings.reader import ATTRIBUTE_COLUMNS, FILE_COLUMNS, SCORE_COLUMNS
from aesmamba_sdk.scores import ATTRIBUTES, UNIT_SCORES, Scale
from aesmamba_sdk.train.datasets.dataset import Categories, Dataset, Rating, Sample
from aesmamba_sdk.train.datasets.images import Images
from aesmamba_sdk.train.datasets.people import read_people
from aesmamba_sdk.train.datasets.table import Row, read_csv

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
"""Of the photos, where the table has no column ``split``."""
PEOPLE_FILE = "users.csv"
_SPLIT_SEED = 42
_CATEGORIES = 4
_TRAITS = (*BIG_FIVE, "art_experience", "photo_experience", "age", "gender", "education")
_OTHERS = {column: name for column, name in ATTRIBUTE_COLUMNS.items() if name != "aesthetic"}


def read_folder(folder: Path, split: str = "train", *, scale: Scale = UNIT_SCORES) -> Dataset:
    """Read a folder with a table, or such a table.

    Args:
        folder: holds one CSV table and the photos it names, relative to it or in archives beside
            it. Columns: ``image`` (or ``file``); ``score``; as wanted the nine attributes,
            ``text`` (a caption or comment), ``user`` (whose rating it is) and ``split``. Several
            rows of one photo are averaged, and their texts collected. ``users.csv`` may hold the
            people's traits: ``user`` and columns named as the traits of profiles.
        split: a value of the column ``split``; without such a column ``train`` (80 % of the
            photos), ``validation`` or ``test``, drawn by a fixed seed.
        scale: the range of the scores, in four equal categories.

    Raises:
        DatasetError: a file, column, value or photo is not as described.
    """
    table = _table(folder)
    rows = list(read_csv(table, []))
    if not rows:
        raise DatasetError(f"{table} is empty; expected at least one photo")
    columns = _Columns.found(table, rows[0].values, scale)
    rows = _of_split(rows, columns, split)
    samples = tuple(_samples(rows, columns))
    ratings = tuple(_ratings(rows, columns, samples)) if "user" in rows[0].values else ()
    return Dataset(
        name=f"{table.parent.resolve().name}-{split}",
        attributes=columns.attributes,
        scales=(scale,) * len(columns.attributes),
        categories=Categories(_CATEGORIES, low=scale.low, per_unit=_CATEGORIES / scale.width),
        samples=samples,
        images=Images(table.parent),
        ratings=ratings,
        people=_people(table.parent / PEOPLE_FILE, ratings),
    )


@dataclass(frozen=True)
class _Columns:
    """What the columns of a table are."""

    image: str
    scores: Mapping[str, str]
    scale: Scale

    @classmethod
    def found(cls, table: Path, header: Mapping[str, str], scale: Scale) -> _Columns:
        named = {}
        for names in (FILE_COLUMNS, SCORE_COLUMNS):
            known = [name for name in names if name in header]
            if not known:
                raise DatasetError(
                    f"{table} row 1: no column {' or '.join(names)}; found {', '.join(header)}",
                    code="dataset_columns",
                )
            named[names] = known[0]
        scores = {"aesthetic": named[SCORE_COLUMNS]}
        scores |= {name: column for column, name in _OTHERS.items() if column in header}
        return cls(named[FILE_COLUMNS], scores, scale)

    @property
    def attributes(self) -> tuple[str, ...]:
        return tuple(name for name in ATTRIBUTES if name in self.scores)

    def photo(self, row: Row) -> str:
        return row.text(self.image)

    def values(self, row: Row) -> tuple[float, ...]:
        try:
            return tuple(row.score(self.scores[name], self.scale) for name in self.attributes)
        except DatasetError as error:
            raise DatasetError(f"{error}, or another scale", code=error.code) from error


def _table(folder: Path) -> Path:
    if folder.is_file():
        return folder
    if not folder.is_dir():
        raise DatasetError(f"{folder} does not exist", code="dataset_missing")
    tables = sorted(file for file in folder.glob("*.csv") if file.name != PEOPLE_FILE)
    if len(tables) != 1:
        found = ", ".join(file.name for file in tables) or "none"
        raise DatasetError(
            f"{folder} should hold one CSV table; found {found}. Or name the table itself.",
            code="dataset_missing",
        )
    return tables[0]


def _of_split(rows: Sequence[Row], columns: _Columns, split: str) -> list[Row]:
    """By the table's own column, or by a draw that depends on the photos' names alone."""
    if "split" in rows[0].values:
        parts = [row.values["split"].strip() for row in rows]
    else:
        drawn = _draw(sorted({columns.photo(row) for row in rows}))
        parts = [drawn[columns.photo(row)] for row in rows]
    chosen = [row for row, part in zip(rows, parts, strict=True) if part == split]
    if not chosen:
        raise DatasetError(
            f"{rows[0].file} has no photos of the split {split!r}; expected one of "
            f"{', '.join(sorted(set(parts)))}"
        )
    return chosen


def _draw(names: Sequence[str]) -> dict[str, str]:
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(names))
    ends = [round(share * len(names)) for share in accumulate(SHARES.values(), initial=0.0)]
    return {
        names[i]: part
        for part, (start, end) in zip(SHARES, pairwise(ends), strict=True)
        for i in order[start:end]
    }


def _samples(rows: Sequence[Row], columns: _Columns) -> list[Sample]:
    by_photo: dict[str, list[Row]] = {}
    for row in rows:
        by_photo.setdefault(columns.photo(row), []).append(row)
    return [
        Sample(
            photo,
            tuple(map(_mean, zip(*map(columns.values, given), strict=True))),
            str(given[0]),
            texts=tuple(dict.fromkeys(t for r in given if (t := r.values.get("text", "").strip()))),
        )
        for photo, given in by_photo.items()
    ]


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _ratings(rows: Sequence[Row], columns: _Columns, samples: Sequence[Sample]) -> list[Rating]:
    place = {sample.image: i for i, sample in enumerate(samples)}
    return [
        Rating(row.text("user"), place[columns.photo(row)], columns.values(row)) for row in rows
    ]


def _people(file: Path, ratings: Sequence[Rating]) -> dict[str, Traits]:
    if not ratings or not file.is_file():
        return {}
    people = read_people(file, "user", {trait: trait for trait in _TRAITS})
    raters = {rating.user for rating in ratings}
    return {user: traits for user, traits in people.items() if user in raters}
