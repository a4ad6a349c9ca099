"""Tables as spreadsheets write them: any separator, Excel's own line before the header."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from aesmamba_sdk.errors import RatingsError
from aesmamba_sdk.ratings.rated import RatingProblem

_SEPARATOR = re.compile(r'"?sep=([,;|\t])"?\r?\n', re.IGNORECASE)  # a first line for Excel
_TOLD = 200  # characters of what was read, in messages


def read_rows(
    table: Path, problems: list[RatingProblem], spell: Callable[[str], str]
) -> tuple[list[str], Iterator[tuple[str, Mapping[str, str]]]]:
    """The columns of a table, and its rows by column with where each begins.

    Args:
        table: UTF-8 text.
        problems: what is wrong with rows that are left out comes here, as they are read.
        spell: a column as it is written, to its name.

    Raises:
        RatingsError: the file cannot be read, or its header ends in no quote.
    """
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RatingsError(f"{table} cannot be read as UTF-8 text: {error}") from error
    lines = _lines(text, table.name, problems)
    columns = [spell(name.strip()) for name in next(lines, ("", []))[1]]
    return columns, _rows(columns, lines, problems)


def _rows(
    columns: list[str], lines: Iterator[tuple[str, list[str]]], problems: list[RatingProblem]
) -> Iterator[tuple[str, Mapping[str, str]]]:
    for where, cells in lines:
        if any(cells[len(columns) :]):
            message = (
                f"{len(cells)} cells for {len(columns)} columns: put what holds a comma in quotes, "
                'as "4,5"'
            )
            problems.append(RatingProblem(where, message))
        else:
            yield where, dict(zip(columns, cells, strict=False))


def _lines(text: str, table: str, problems: list[RatingProblem]) -> Iterator[tuple[str, list[str]]]:
    """The cells of the lines, header first, and where each begins; blank ones are passed."""
    declared = _SEPARATOR.match(text)
    header = text[declared.end() if declared else 0 :].partition("\n")[0]
    delimiter = declared[1] if declared else max(",;\t", key=header.count)
    # Strict, or a quote that is never closed would silently take all lines after it.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    if declared:
        next(reader)
    first = True
    while True:
        where = f"{table} line {reader.line_num + 1}"
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if first:  # no other line can tell what the columns are
                raise RatingsError(f"{where}: quotes do not match: {error}") from error
            message = f"quotes do not match, and lines after it may be missing: {error}"
            problems.append(RatingProblem(where, message))
            continue
        if cells:
            first = False
            yield where, cells


def capped(text: str) -> str:
    """Text that was read, for a message: an unclosed quote may make a cell of all that follows."""
    return text if len(text) <= _TOLD else f"{text[:_TOLD]}…"
