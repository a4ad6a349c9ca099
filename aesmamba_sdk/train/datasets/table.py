"""Rows of label files, with their numbers, so that every problem names its file and row."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.scores import Scale

_LONGEST_VALUE = 100  # characters of a wrong value that its message shows


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a label file.

    Attributes:
        file: the label file.
        number: line of the file the row ends on, from 1.
        values: column name to text.
    """

    file: Path
    number: int
    values: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.file} row {self.number}"

    def text(self, column: str) -> str:
        """The text of a column that must not be empty."""
        value = self.values[column].strip()
        if not value:
            raise self.problem(column, "a value")
        return value

    def score(self, column: str, scale: Scale) -> float:
        """A number on ``scale``; NaN where the row or the whole column is missing it."""
        value = (self.values.get(column) or "").strip()
        if value.lower() in ("", "nan"):
            return math.nan
        number = _number(value)
        if number not in scale:
            raise self.problem(column, f"a number of {scale}")
        return number

    def votes(self, columns: Sequence[str]) -> tuple[float, ...]:
        """Counts of the columns as shares that sum to 1."""
        counts = [_number(self.values[column]) for column in columns]
        for column, count in zip(columns, counts, strict=True):
            if not 0 <= count < math.inf:
                raise self.problem(column, "a count of votes")
        if not sum(counts):
            raise DatasetError(
                f"{self}: no votes in {columns[0]} to {columns[-1]}; expected at least one",
                code="dataset_value",
            )
        return tuple(count / sum(counts) for count in counts)

    def problem(self, column: str, expected: str) -> DatasetError:
        """The error of a value that is not what was expected."""
        value = repr(self.values.get(column))
        if len(value) > _LONGEST_VALUE:
            value = f"{value[:_LONGEST_VALUE]}..."
        return DatasetError(
            f"{self}: {column} is {value}; expected {expected}", code="dataset_value"
        )


def read_csv(file: Path, required: Sequence[str]) -> Iterator[Row]:
    """Rows of a table with a header.

    Raises:
        DatasetError: the file is missing or no text, a required column is missing or a column is
            there twice, a quote is never closed, or a row has more or fewer values than the header.
    """
    with _Lines(file) as lines:
        rows = _records(file, lines)
        header = [name.strip() for name in next(rows, (1, []))[1]]
        missing = [name for name in required if name not in header]
        if missing:
            raise DatasetError(
                f"{file} row 1: no column {', '.join(missing)}; found "
                f"{', '.join(header) or 'nothing'}",
                code="dataset_columns",
            )
        twice = [name for name in header if name and header.count(name) > 1]
        if twice:
            raise DatasetError(
                f"{file} row 1: the column {twice[0]} is there {header.count(twice[0])} times; "
                "expected every column once",
                code="dataset_columns",
            )
        for number, values in rows:
            if not values:
                continue
            if len(values) != len(header):
                raise DatasetError(
                    f"{file} row {number}: {len(values)} values; expected "
                    f"{len(header)}, as in the header",
                    code="dataset_columns",
                )
            yield Row(file, number, dict(zip(header, values, strict=True)))


def read_words(file: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Rows of a list without header whose values are separated by spaces; further ones are left.

    Raises:
        DatasetError: the file is missing or no text, or a row has too few values.
    """
    with _Lines(file) as lines:
        for number, line in enumerate(lines, 1):
            values = line.split()
            if not values:
                continue
            if len(values) < len(columns):
                raise DatasetError(
                    f"{file} row {number}: {len(values)} values; expected {len(columns)}: "
                    f"{', '.join(columns)}",
                    code="dataset_columns",
                )
            yield Row(file, number, dict(zip(columns, values, strict=False)))


def _records(file: Path, lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """Rows of a CSV table, each with the line it ends on."""
    # Strictly: a quote that is never closed would swallow all rows behind it.
    reader = csv.reader(lines, strict=True)
    first = 1
    try:
        for values in reader:
            yield reader.line_num, values
            first = reader.line_num + 1
    except csv.Error as error:
        raise DatasetError(
            f"{file} row {first}: {error}; expected a CSV table whose quotes are closed"
        ) from error


class _Lines:
    """An open text file, whose lines raise only our errors."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __enter__(self) -> Iterator[str]:
        try:
            self._stream = self.file.open(newline="", encoding="utf-8-sig")
        except OSError as error:
            raise DatasetError(
                f"{self.file} cannot be opened: {error.strerror}; expected a label file",
                code="dataset_missing",
            ) from error
        return self._decoded()

    def _decoded(self) -> Iterator[str]:
        number = 0
        try:
            for number, line in enumerate(self._stream, 1):  # noqa: B007 -- told by the error
                yield line
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"{self.file} after row {number}: {error.reason}; expected UTF-8 text"
            ) from error

    def __exit__(self, *_: object) -> None:
        self._stream.close()


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return math.nan
