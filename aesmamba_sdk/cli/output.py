"""How results leave the program: one set of formats for every command.

Data goes to standard output; messages and progress to standard error.
"""

from __future__ import annotations

import csv
import json
import math
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from aesmamba_sdk.personalize.methods import SEEDS
from aesmamba_sdk.scores import Scale
from aesmamba_sdk.xmp.choices import PICKS, REJECTS

if TYPE_CHECKING:
    from rich.console import Console

Format = Literal["table", "json", "jsonl", "csv"]
Record = dict[str, Any]
Command = TypeVar("Command", bound=Callable[..., Any])

_DECIMALS = 4
_PIPE_WIDTH = 100
SOME_FAILED = 1
"""Exit code where some or all photos failed."""
CELL_MARGIN = 3  # of a table's columns: blanks and a line
TEXT_WIDTH = 18  # of a table's columns, which words may need at least; longer ones are broken
_REDRAWN = 0.1  # seconds: photos from the cache come faster than anyone can read
_OBEYED = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What terminals obey rather than show: control characters, ends of lines, marks of direction."""


def format_option(command: Command) -> Command:
    """``--format``: a table for people, the others for programs."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(["table", "json", "jsonl", "csv"]),
        help="Default: table on a terminal, jsonl in a pipe.",
    )(command)


def model_options(command: Command) -> Command:
    """``--model``, ``--device`` and ``--threads``."""
    command = click.option(
        "--threads",
        type=click.IntRange(min=1),
        help="Default: AESMAMBA_THREADS, or torch's choice.",
    )(command)
    command = click.option(
        "--device", default="auto", show_default=True, help="auto, cpu, cuda or mps."
    )(command)
    return click.option("--model", help="Name or folder of the shared model.")(command)


def seed_option(command: Command) -> Command:
    """``--seed``: whatever all that draws can be begun with."""
    return click.option(
        "--seed",
        type=click.IntRange(0, SEEDS - 1),
        default=42,
        show_default=True,
        help="Of everything random.",
    )(command)


def not_nan(context: Any, parameter: Any, value: float | None) -> float | None:
    """Callback of options that take a number: NaN is none, whatever it is compared with."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is not a number")
    return value


def rating_options(command: Command) -> Command:
    """``--scale``, ``--rejects``, ``--picks`` and ``--unrated``: how ratings are to be read."""
    command = click.option(
        "--unrated",
        type=click.FloatRange(0, 5),
        callback=not_nan,
        default=0.0,
        help="So many stars mean nothing, e.g. 1 where darktable gives them on import.",
    )(command)
    command = click.option(
        "--picks",
        type=click.Choice(PICKS),
        default=PICKS[0],
        show_default=True,
        help="Photos picked in a photo app, or favourites, without stars: leave them out, or count "
        "them as five.",
    )(command)
    command = click.option(
        "--rejects",
        type=click.Choice(REJECTS),
        default=REJECTS[0],
        show_default=True,
        help="Photos rejected in a photo app: leave them out, or count them as one star.",
    )(command)
    return click.option(
        "--scale", type=ScaleType(), help="Range of the ratings in a table. Default: 1-5."
    )(command)


def chosen_format(form: Format | None) -> Format:
    return form or ("table" if sys.stdout.isatty() else "jsonl")


class ScaleType(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    """A range such as ``1-7``."""

    name = "LOW-HIGH"

    def convert(self, value: Any, param: Any, context: Any) -> Scale:
        try:
            low, high = str(value).split("-")
            return Scale(float(low), float(high))
        except ValueError:
            self.fail(f"{value!r} is no range; write it like 1-7", param, context)


def write_records(
    records: Iterable[Record], form: Format, columns: Sequence[str], *, at_once: bool = False
) -> None:
    """Print records as they come, in any format but table.

    Args:
        columns: of CSV, in order; nested values are named ``outer.inner``.
        at_once: all of them are there already, so that no line needs to leave before the others.
    """
    rounded = (_rounded(record) for record in records)
    if form == "jsonl":
        for record in rounded:
            # click.echo takes longer than everything else that a photo from the cache needs.
            sys.stdout.write(f"{_json(record)}\n")
            if not at_once:
                sys.stdout.flush()
        sys.stdout.flush()
    elif form == "json":
        click.echo("[")
        separator = ""
        for record in rounded:
            click.echo(f"{separator}  {_json(record)}", nl=False)
            separator = ",\n"
        click.echo("\n]" if separator else "]")
    else:
        writer = csv.DictWriter(sys.stdout, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for record in rounded:
            writer.writerow(_flat(record))


def write_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table under a title; numbers align at the right, empty columns have no header.

    A cell that is a tuple has a line for each of its items. Where the terminal is too narrow, the
    last columns are named instead of shown, and long words broken.
    """
    from rich.table import Table
    from rich.text import Text

    rows = [list(row) for row in rows]
    texts = [[name, *(_cell(row[i]) for row in rows)] for i, name in enumerate(columns)]
    widths = _widths(texts, console().width, keep=2 if any(columns) else len(columns))
    shown = texts[: len(widths)]
    table = Table(header_style="bold", show_header=any(columns))
    for i, width in enumerate(widths):
        numeric = any(isinstance(row[i], (int, float)) for row in rows)
        table.add_column(
            columns[i], justify="right" if numeric else "left", overflow="fold", width=width
        )
    for cells in zip(*(column[1:] for column in shown), strict=True):
        table.add_row(*map(Text, cells))
    if title:
        console().print(visible(title), markup=False)
    console().print(table)
    if len(shown) < len(columns):
        tell(f"too narrow for: {', '.join(columns[len(shown) :])}")


def _widths(texts: Sequence[Sequence[str]], room: int, *, keep: int) -> list[int]:
    """Widths of the first columns that fit, ``keep`` of them in any case.

    Each has room for its words; what is left is shared by those whose lines are longer.
    """
    widths = [min(TEXT_WIDTH, _longest(map(_words, column))) for column in texts]
    while len(widths) > keep and sum(widths) + CELL_MARGIN * len(widths) >= room:
        widths.pop()
    lines = [_longest(map(str.splitlines, column)) for column in texts[: len(widths)]]
    missing = [line - width for line, width in zip(lines, widths, strict=True)]
    left = room - 1 - sum(widths) - CELL_MARGIN * len(widths)
    waiting = sorted(range(len(widths)), key=missing.__getitem__, reverse=True)
    while left > 0 and waiting:
        more = min(left // len(waiting), missing[waiting[-1]])
        widths[waiting.pop()] += more
        left -= more
    widths[-1] = max(1, widths[-1] + min(left, 0))
    return widths


def _longest(parts: Iterable[Sequence[str]]) -> int:
    from rich.cells import cell_len

    return max((cell_len(part) for several in parts for part in several), default=0)


def _words(text: str) -> list[str]:
    """What is not to be broken; lines, where there are several, were made to fit."""
    return text.splitlines() if "\n" in text else text.split()


def console(*, errors: bool = False) -> Console:
    """A rich console that never wraps pipes at 80 columns nor styles them."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise  # like any other output that nobody reads; rich would end the program itself

    stream = sys.stderr if errors else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Plain(file=stream, width=width, highlight=False)


def tell(message: str) -> None:
    """One line for the person, on standard error, above a bar that is drawn there."""
    # Not click.echo, which would write past rich, into the bar.
    sys.stderr.write(f"{visible(message)}\n")


def visible(text: str) -> str:
    """Text for people: a file name may not move the cursor, break the line or turn it around."""
    return _OBEYED.sub(lambda found: repr(found[0])[1:-1], text)


def percent(share: float | None) -> str:
    """Whole percent, of which only all are 100; nothing of what is not known."""
    if share is None:
        return ""
    return f"{share if share >= 1 else min(share, 0.99):.0%}"


def tell_left_out(problems: Iterable[str], notes: Iterable[str]) -> None:
    """What was not used, by mistake and on purpose."""
    for problem in problems:
        tell(f"skipped: {problem}")
    for note in notes:
        tell(f"note: {note}")


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error while it is a terminal; told (what, done, total).

    A total of 0 means that it is not known yet.
    """
    if not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    terminal = console(errors=True)
    terminal.soft_wrap = True  # a record that is written above the bar stays one line
    bar = Progress(
        *columns,
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=terminal,
        transient=True,
        # On the same terminal, what is written goes above the bar; what goes to a file must not.
        redirect_stdout=sys.stdout.isatty(),
    )
    with bar:
        tasks: dict[str, Any] = {}
        told: dict[str, float] = {}

        def update(what: str, done: int, total: int) -> None:
            now = time.monotonic()
            if now - told.get(what, 0.0) < _REDRAWN and done != total:
                return
            told[what] = now
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total or None, rate="")
            speed = bar.tasks[tasks[what]].speed
            rate = f"{speed:,.{0 if speed >= 10 else 1}f}/s" if speed else ""
            bar.update(tasks[what], completed=done, total=total or None, rate=rate)

        yield update


_PLAIN = frozenset((str, int, bool, type(None)))
_json = json.JSONEncoder(allow_nan=False, check_circular=False).encode


def _rounded(value: Any) -> Any:
    # Without a call for what is plain or a number: of 100,000 photos these are a second.
    if isinstance(value, dict):
        return {
            key: item
            if type(item) in _PLAIN
            else round(item, _DECIMALS)
            if type(item) is float
            else _rounded(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [round(item, _DECIMALS) if type(item) is float else _rounded(item) for item in value]
    if isinstance(value, float):
        return round(value, _DECIMALS)
    return _rounded(dict(value)) if isinstance(value, Mapping) else value


def _flat(record: Mapping[str, Any], prefix: str = "") -> Record:
    flat: Record = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif isinstance(value, (list, tuple)):
            flat[prefix + key] = _joined(value)
        else:
            flat[prefix + key] = value
    return flat


def _joined(items: Sequence[Any]) -> str:
    """A range of numbers, or texts."""
    if any(isinstance(item, str) for item in items):
        return "; ".join(items)
    return "-".join(f"{item:g}" for item in items)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return "\n".join(map(_cell, value))
    return f"{value:.2f}" if isinstance(value, float) else visible(str(value))
