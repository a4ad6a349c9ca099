"""Rated photos as people keep them: a table, folders ``1`` to ``5``, or stars in the metadata.

One unusable row is a problem to report, not a reason to stop.
"""

from __future__ import annotations

import json
import math
import os
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from aesmamba_sdk.errors import RatingsError
from aesmamba_sdk.photos import EVERYTHING, EXTENSIONS, Selection, iter_photos
from aesmamba_sdk.ratings.metadata import read_metadata
from aesmamba_sdk.ratings.rated import RatedPhoto, RatedPhotos, RatingProblem
from aesmamba_sdk.ratings.table import capped, read_rows
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
_KNOWN = {
    name.lower(): name
    for name in (*FILE_COLUMNS, *SCORE_COLUMNS, *ATTRIBUTE_COLUMNS, "scale", "group")
}
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
    parts: list[RatedPhotos] = []
    listed = ((source, _read_listed(source, scale, selection)) for source in sources)
    for in_metadata, together in groupby(listed, lambda pair: pair[1] is None):
        if in_metadata:  # neighbours at once: a raw file and its JPEG may be named one by one
            photos = [source for source, _ in together]
            parts.append(
                read_metadata(
                    photos, rejects=rejects, picks=picks, unrated=unrated, selection=selection
                )
            )
        else:
            parts += [part for _, part in together if part is not None]
    problems = [problem for part in parts for problem in part.problems]
    notes = [note for part in parts for note in part.notes]
    latest: dict[Path, RatedPhoto] = {}
    for item in (item for part in parts for item in part.items):
        if item.path in latest:
            problems.append(RatingProblem(str(item.path), "rated twice; the later rating counts"))
        latest[item.path] = item
    if not latest:
        raise _nothing_usable(sources, [f"{p.where}: {p.message}" for p in problems], notes)
    return RatedPhotos(list(latest.values()), problems, notes)


def _read_listed(source: Path, scale: Scale | None, selection: Selection) -> RatedPhotos | None:
    """What a table or star folders say; ``None`` where ratings are in the photos' metadata."""
    table = _find_table(source)
    if table is None:
        in_folders = list(_star_folders(source, selection))
        return RatedPhotos(in_folders, []) if in_folders else None
    problems: list[RatingProblem] = []
    rows = _json_rows(table) if table.suffix.lower() == ".json" else _csv_rows(table, problems)
    return RatedPhotos(list(_read_rows(rows, table, scale or UNIT_SCORES, problems)), problems)


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


def _csv_rows(
    table: Path, problems: list[RatingProblem]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    columns, rows = read_rows(table, problems, lambda name: _KNOWN.get(name.lower(), name))
    for kind, names in (("photo", FILE_COLUMNS), ("score", SCORE_COLUMNS)):
        if not set(names) & set(columns):
            found = capped(", ".join(columns)) or "no header"
            raise RatingsError(
                f"{table} has no {kind} column: found {found}; expected one of {', '.join(names)}",
                code="ratings_columns",
            )
    return rows


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
    if not os.path.isfile(path):  # noqa: PTH113 -- no error where a name is too long for one
        if "\n" in name:
            raise ValueError(f"{reprlib.repr(name)} goes over lines: its quotes do not match")
        raise ValueError(f"{capped(str(path))} does not exist")
    scale = _parse_scale(row["scale"]) if row.get("scale") else scale
    score = _on_scale("score", next((row[c] for c in SCORE_COLUMNS if c in row), None), scale)
    attributes = {
        ours: _on_scale(column, row[column], scale)
        for column, ours in ATTRIBUTE_COLUMNS.items()
        if row.get(column) not in (None, "")
    }
    group = row.get("group")
    return RatedPhoto(
        path, score, scale, attributes, table.name, "" if group is None else str(group)
    )


def _on_scale(name: str, value: Any, scale: Scale) -> float:
    try:
        number = float(_DECIMAL_COMMA.sub(r"\1.\2", value) if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):  # JSON knows whole numbers of any length
        number = math.nan
    if isinstance(value, bool) or number not in scale:
        raise ValueError(
            f"{name} {reprlib.repr(value)} is no number of {scale}; if photos were rated on "
            "another scale, declare it"
        )
    return number


def _parse_scale(value: Any) -> Scale:
    parts = value.split("-") if isinstance(value, str) else value
    try:
        low, high = map(float, parts)
        return Scale(low, high)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"scale {reprlib.repr(value)} must look like 1-7 or [1, 7]") from None
