"""Choices between two photos as people keep them: a table with the columns better and worse."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aesmamba_sdk.errors import RatingsError
from aesmamba_sdk.ratings.rated import RatingProblem
from aesmamba_sdk.ratings.table import read_rows

Choice = tuple[Path, Path]
"""The photo that was preferred, and the one it was preferred to."""


def read_choices(table: Path) -> list[Choice]:
    """Read pairs of photos, named relative to the table.

    Args:
        table: ``.csv`` with a header, or ``.json``, a list of objects; both with the columns
            ``better`` and ``worse``.

    Raises:
        RatingsError: the file cannot be read, has no row, or a row names no two different photos.
    """
    rows = _json_rows(table) if table.suffix.lower() == ".json" else _csv_rows(table)
    choices = []
    for number, row in enumerate(rows, 1):
        named = [str(row.get(column) or "").strip() for column in ("better", "worse")]
        if not all(named) or named[0] == named[1]:
            raise RatingsError(
                f"{table} choice {number}: better {named[0]!r} and worse {named[1]!r}; expected "
                "two different photos in the columns better and worse",
                code="choices_invalid",
            )
        choices.append((table.parent / named[0], table.parent / named[1]))
    if not choices:
        raise RatingsError(
            f"{table} holds no choice: give it rows with the columns better and worse",
            code="choices_empty",
        )
    return choices


def _csv_rows(table: Path) -> Iterator[Mapping[str, Any]]:
    problems: list[RatingProblem] = []
    _, rows = read_rows(table, problems, str.lower)
    for _, row in rows:
        yield row
    for problem in problems:  # of choices none is left out: one that is lost may turn a taste round
        raise RatingsError(f"{table}: {problem.where}: {problem.message}", code="choices_invalid")


def _json_rows(table: Path) -> list[Mapping[str, Any]]:
    try:
        content = json.loads(table.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise RatingsError(f"{table} is not valid JSON: {error}") from error
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise RatingsError(f'{table} must hold a list of {{"better": …, "worse": …}}')
    return content
