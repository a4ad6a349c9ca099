"""Which photos of folders a command looks at: the same options wherever folders are searched."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aesmamba_sdk.cli.output import progress_bar
from aesmamba_sdk.errors import SetupError

if TYPE_CHECKING:
    from aesmamba_sdk.photos import Selection

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


def no_photos(photos: Iterable[str | Path]) -> SetupError:
    """That nothing was found where photos were looked for: not an empty success."""
    named = ", ".join(map(str, photos))
    return SetupError(
        f"no photos in {named}: name photos, or folders that hold some", code="no_photos"
    )


@contextmanager
def photo_progress(
    photos: Sequence[str | Path], selection: Selection
) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar that knows how many ``"photos"`` there are, where somebody watches it."""
    from aesmamba_sdk.photos import count_photos

    photo_count = count_photos(photos, selection) if sys.stderr.isatty() else 0
    with progress_bar() as progress:

        def tell(what: str, done: int, total: int) -> None:
            progress(what, done, photo_count if what == "photos" else total)

        yield tell
