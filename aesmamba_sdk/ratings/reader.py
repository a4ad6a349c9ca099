"""Rated photos as people keep them: ``ratings.csv``, ``ratings.json`` or folders ``1`` to ``5``.

One unusable row is a problem to report, not a reason to stop.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aesmamba_sdk.errors import RatingsError
from aesmamba_sdk.photos import iter_photos
from aesmamba_sdk.scores import ATTRIBUTES, UNIT_SCORES, Scale

FILE_COLUMNS = ("file", "path", "image", "filename")
SCORE_COLUMNS = ("score", "rating", "stars")
"""Names of the columns of photos and of scores, the first one found counts."""
ATTRIBUTE_COLUMNS = {name: name for name in ATTRIBUTES} | {
    "aestheticScore": "aesthetic",
    "qualityScore": "quality",
    "compositionScore": "composition",
    "colorScore": "color",
    "dofScore": "depth_of_field",
    "lightScore": "light",
    "contentScore": "content",
    "contentPreference": "content_preference",
    "willingnessToShare": "willingness_to_share",
}
"""Attribute columns, in our spelling and in PARA's."""


@dataclass(frozen=True)
class RatedPhoto:
    """One rating as it was given.

    Attributes:
        path: the photo.
        score: raw value, on ``scale``.
        scale: what the person rated on.
        attributes: attribute name to raw value on the same scale.
        source: where the rating was read, e.g. ``"ratings.csv"``.
        group: what the photo belongs with, e.g. one burst or crops of one shot, so that they are
            never on both sides when a personal model is checked; empty where it stands alone.
    """

    path: Path
    score: float
    scale: Scale
    attributes: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    group: str = ""


@dataclass(frozen=True)
class RatingProblem:
    """A rating that cannot be used, and why; ``where`` names the file and row."""

    where: str
    message: str


@dataclass(frozen=True)
class RatedPhotos:
    """What was read: usable ratings, one a photo, and the problems met."""

    items: list[RatedPhoto]
    problems: list[RatingProblem]


def read_ratings(source: Path, *, scale: Scale | None = None) -> RatedPhotos:
    """Read the ratings of a table or folder.

    Args:
        source: a ``.csv`` or ``.json`` file; or a folder that holds ``ratings.csv``, else
            ``ratings.json``, else star folders ``1`` to ``5``. Photos are named relative to the
            table. The last of two ratings of one photo counts.
        scale: the range of the scores, unless the table declares its own; 1-5 by default.

    Raises:
        RatingsError: nothing readable is there, the columns are wrong, or no rating is usable.
    """
    table = _find_table(source)
    problems: list[RatingProblem] = []
    if table is None:
        items = _star_folders(source)
    else:
        rows = _json_rows(table) if table.suffix.lower() == ".json" else _csv_rows(table)
        items = _read_rows(rows, table, scale or UNIT_SCORES, problems)
    latest: dict[Path, RatedPhoto] = {}
    for item in items:
        if item.path in latest:
            problems.append(RatingProblem(str(item.path), "rated twice; the later rating counts"))
        latest[item.path] = item
    if not latest:
        first = f" First problem: {problems[0].where}: {problems[0].message}." if problems else ""
        raise RatingsError(
            f"{source} holds no usable rating.{first} Give a ratings.csv with the columns file "
            "and score, or folders named 1 to 5 with photos in them.",
            code="ratings_empty",
        )
    return RatedPhotos(list(latest.values()), problems)


def _find_table(source: Path) -> Path | None:
    if source.is_file():
        return source
    if not source.is_dir():
        raise RatingsError(f"{source} does not exist", code="ratings_missing")
    tables = (source / "ratings.csv", source / "ratings.json")
    return next((table for table in tables if table.is_file()), None)


def _star_folders(source: Path) -> Iterator[RatedPhoto]:
    for stars in range(1, 6):
        folder = source / str(stars)
        if folder.is_dir():
            for photo in iter_photos([folder]):
                yield RatedPhoto(photo, float(stars), UNIT_SCORES, source="star folder")


def _csv_rows(table: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RatingsError(f"{table} cannot be read as UTF-8 text: {error}") from error
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = [name.strip() for name in reader.fieldnames or []]
    reader.fieldnames = columns
    for kind, names in (("photo", FILE_COLUMNS), ("score", SCORE_COLUMNS)):
        if not set(names) & set(columns):
            raise RatingsError(
                f"{table} has no {kind} column: found {', '.join(columns) or 'no header'}; "
                f"expected one of {', '.join(names)}",
                code="ratings_columns",
            )
    for row in reader:
        yield f"{table.name} line {reader.line_num}", row


def _json_rows(table: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        content = json.loads(table.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise RatingsError(f"{table} is not valid JSON: {error}") from error
    shared = {}
    if isinstance(content, dict):
        shared = {"scale": content["scale"]} if "scale" in content else {}
        content = content.get("ratings")
    if not isinstance(content, list):
        raise RatingsError(
            f'{table} must hold a list of ratings, or {{"scale": [1, 5], "ratings": [...]}}'
        )
    for number, row in enumerate(content, 1):
        row = row if isinstance(row, dict) else {}
        attributes = row.get("attributes")
        flat = attributes if isinstance(attributes, dict) else {}
        yield f"{table.name} rating {number}", shared | flat | row


def _read_rows(
    rows: Iterable[tuple[str, Mapping[str, Any]]],
    table: Path,
    scale: Scale,
    problems: list[RatingProblem],
) -> Iterator[RatedPhoto]:
    for where, row in rows:
        try:
            yield _read_row(row, table, scale)
        except ValueError as error:
            problems.append(RatingProblem(where, str(error)))


def _read_row(row: Mapping[str, Any], table: Path, scale: Scale) -> RatedPhoto:
    name = next((row[c] for c in FILE_COLUMNS if row.get(c)), None)
    if not isinstance(name, str):
        raise ValueError("no photo is named")
    path = table.parent / name.strip()
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    scale = _parse_scale(row["scale"]) if row.get("scale") else scale
    score = _on_scale("score", next((row[c] for c in SCORE_COLUMNS if c in row), None), scale)
    attributes = {
        ours: _on_scale(column, row[column], scale)
        for column, ours in ATTRIBUTE_COLUMNS.items()
        if row.get(column) not in (None, "")
    }
    return RatedPhoto(path, score, scale, attributes, table.name, str(row.get("group") or ""))


def _on_scale(name: str, value: Any, scale: Scale) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or number not in scale:
        raise ValueError(
            f"{name} {value!r} is no number of {scale}; if photos were rated on another scale, "
            "declare it"
        )
    return number


def _parse_scale(value: Any) -> Scale:
    parts = value.split("-") if isinstance(value, str) else value
    try:
        low, high = map(float, parts)
        return Scale(low, high)
    except (TypeError, ValueError):
        raise ValueError(f"scale {value!r} must look like 1-7 or [1, 7]") from None
