"""What every protocol is asked for, and how its result is printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from aesmamba_sdk.cli.output import ScaleType, console, model_options, seed_option

if TYPE_CHECKING:
    from aesmamba_sdk.evaluate.report import Result

ReportFormat = Literal["table", "json", "markdown"]
Command = TypeVar("Command", bound=Callable[..., Any])


def protocol_options(command: Command) -> Command:
    """``--seed``, ``--format``, ``--model``, ``--device`` and ``--threads``."""
    return seed_option(format_option(model_options(command)))


def format_option(command: Command) -> Command:
    """``--format``: a table for people, Markdown for pages, JSON for programs."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(["table", "json", "markdown"]),
        help="Default: table on a terminal, json in a pipe.",
    )(command)


def data_options(default: str) -> Callable[[Command], Command]:
    """``--data``, ``--split`` and ``--scale``."""

    def add(command: Command) -> Command:
        command = click.option(
            "--scale", type=ScaleType(), help="Range of the scores of a folder; 1-5 by default."
        )(command)
        command = click.option("--split", help="Of the dataset. Default: the photos to test on.")(
            command
        )
        return click.option(
            "--data",
            default=default,
            show_default=True,
            metavar="NAME[=FOLDER]",
            help="A dataset; without a folder, that of its name in AESMAMBA_DATA.",
        )(command)

    return add


def print_result(result: Result, form: ReportFormat | None) -> None:
    """On standard output."""
    form = form or ("table" if sys.stdout.isatty() else "json")
    if form == "table":
        result.show(console())
    elif form == "markdown":
        click.echo(result.markdown())
    else:
        click.echo(json.dumps(result.to_dict(), indent=1, allow_nan=False))
