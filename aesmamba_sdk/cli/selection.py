"""Which photos of folders a command looks at: the same options wherever folders are searched."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def selection_options(command: Command) -> Command:
    """``--include`` and ``--exclude``, given to the command as ``selection``."""

    @click.option(
        "--include",
        multiple=True,
        metavar="GLOB",
        help="Of folders, only files that fit, e.g. '*.jpg' or '2024/*'; may be repeated.",
    )
    @click.option(
        "--exclude",
        multiple=True,
        metavar="GLOB",
        help="Of folders, no files or subfolders that fit, e.g. 'screenshots'; may be repeated.",
    )
    @functools.wraps(command)
    def run(
        *arguments: Any, include: tuple[str, ...], exclude: tuple[str, ...], **rest: Any
    ) -> Any:
        from aesmamba_sdk.photos import Selection

        return command(*arguments, selection=Selection(include, exclude), **rest)

    return run  # type: ignore[return-value]  # the same command, with options of its own
