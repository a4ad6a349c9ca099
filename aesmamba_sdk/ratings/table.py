"""Tables as spreadsheets write them: any separator, Excel's own line before the header."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from aesmamba_sdk.errors import RatingsError
from aesmamba_sdk.ratings.rated import RatingProblem

_SEPARATOR = re.compile(r'"?sep=([,;|\t])"?\r?\n', re.IGNORECASE)  # a first line for Excel
_TOLD = 200  # characters of what was read, in messages


def read_lines(table: Path, problems: list[RatingProblem]) -> Iterator[tuple[str, list[str]]]:
    """The cells of a table's lines, header first, and where each begins; blank ones are passed.

    Args:
        table: UTF-8 text.
        problems: what is wrong with lines that are left out comes here.

    Raises:
        RatingsError: the file cannot be read.
    """
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RatingsError(f"{table} cannot be read as UTF-8 text: {error}") from error
    declared = _SEPARATOR.match(text)
    header = text[declared.end() if declared else 0 :].partition("\n")[0]
    delimiter = declared[1] if declared else max(",;\t", key=header.count)
    # Strict, or a quote that is never closed would silently take all lines after it.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    if declared:
        next(reader)
    while True:
        where = f"{table.name} line {reader.line_num + 1}"
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            message = f"quotes do not match, and lines after it may be missing: {error}"
            problems.append(RatingProblem(where, message))
            continue
        if cells:
            yield where, cells


def capped(text: str) -> str:
    """Text that was read, for a message: an unclosed quote may make a cell of all that follows."""
    return text if len(text) <= _TOLD else f"{text[:_TOLD]}…"
