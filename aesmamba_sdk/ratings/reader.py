"""Rated photos as people keep them: a table, folders ``1`` to ``5``, or stars in the metadata.

One unusable row is a problem to report, not a reason to stop.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from aesmamba_sdk.errors import RatingsError
from aesmamba_sdk.photos import EVERYTHING, EXTENSIONS, Selection, iter_photos
from aesmamba_sdk.ratings.metadata import read_metadata
from aesmamba_sdk.ratings.rated import RatedPhoto, RatedPhotos, RatingProblem
from aesmamba_sdk.scores import ATTRIBUTES, UNIT_SCORES, Scale
from aesmamba_sdk.xmp.choices import Picks, Rejects

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
_DECIMAL_COMMA = re.compile(r"^\s*(\d+),(\d{1,2})\s*$")  # as spreadsheets write in half of Europe


def read_ratings(
    *sources: Path,
    scale: Scale | None = None,
    rejects: Rejects = "skip",
    picks: Picks = "skip",
    unrated: float = 0.0,
    selection: Selection = EVERYTHING,
) -> RatedPhotos:
    """Read the ratings of tables, folders and photos.

    Args:
        sources: each a ``.csv`` or ``.json`` file; a folder that holds ``ratings.csv``, else
            ``ratings.json``, else star folders ``1`` to ``5`` (and none with a higher number), else
            photos with stars in their metadata; or such a photo. Tables name photos relative to
            themselves. The last of two ratings of one photo counts.
        scale: the range of the scores in tables that do not declare it; 1-5 by default.
        rejects, picks, unrated: of stars in metadata, as for :func:`read_metadata`.
        selection: which files to take where folders of photos are searched, star folders included.

    Raises:
        RatingsError: a source does not exist, the columns are wrong, or no rating is usable.
    """
    items: list[RatedPhoto] = []
    problems: list[RatingProblem] = []
    starred: list[Path] = []
    for source in sources:
        table = _find_table(source)
        if table is not None:
            rows = _json_rows(table) if table.suffix.lower() == ".json" else _csv_rows(table)
            items += _read_rows(rows, table, scale or UNIT_SCORES, problems)
        elif in_folders := list(_star_folders(source, selection)):
            items += in_folders
        else:
            starred.append(source)
    metadata = read_metadata(
        starred, rejects=rejects, picks=picks, unrated=unrated, selection=selection
    )
    problems += metadata.problems
    latest: dict[Path, RatedPhoto] = {}
    for item in items + metadata.items:
        if item.path in latest:
            problems.append(RatingProblem(str(item.path), "rated twice; the later rating counts"))
        latest[item.path] = item
    if not latest:
        raise _nothing_usable(
            sources, [f"{p.where}: {p.message}" for p in problems], metadata.notes
        )
    return RatedPhotos(list(latest.values()), problems, metadata.notes)


def _nothing_usable(sources: Iterable[Path], problems: list[str], notes: list[str]) -> RatingsError:
    first = f" First problem: {problems[0]}." if problems else ""
    seen = f" {'; '.join(notes)}." if notes else ""
    return RatingsError(
        f"{', '.join(map(str, sources))} holds no usable rating.{first}{seen} Give a ratings.csv "
        "with the columns file and score, folders named 1 to 5 with photos in them, or photos "
        "with stars in their metadata or sidecars.",
        code="ratings_empty",
    )


def _find_table(source: Path) -> Path | None:
    """The table that a source is or holds; ``None`` for photos and folders without one."""
    if source.is_file():
        return None if source.suffix.lower() in EXTENSIONS else source
    if not source.is_dir():
        raise RatingsError(f"{source} does not exist", code="ratings_missing")
    tables = (source / "ratings.csv", source / "ratings.json")
    return next((table for table in tables if table.is_file()), None)


def _star_folders(source: Path, selection: Selection) -> Iterator[RatedPhoto]:
    if not source.is_dir():
        return
    numbers = [int(name.name) for name in source.iterdir() if name.name.isdecimal()]
    if max(numbers, default=0) > UNIT_SCORES.high:
        return  # months or years
    for stars in range(1, 6):
        folder = source / str(stars)
        if folder.is_dir():
            for photo in iter_photos([folder], selection):
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
        number = float(_DECIMAL_COMMA.sub(r"\1.\2", value) if isinstance(value, str) else value)
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
