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
from aesmamba_sdk.errors import RatingsError, SetupError

if TYPE_CHECKING:
    from aesmamba_sdk.photos import Selection

Command = TypeVar("Command", bound=Callable[..., Any])
PHOTO = click.Path(path_type=Path, readable=False)
"""A photo or folder; one that may not be read is named in its turn, and the others go on."""


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

        try:
            return command(*arguments, selection=Selection(include, exclude), **rest)
        except (SetupError, RatingsError) as error:
            if error.code not in ("no_photos", "ratings_empty") or not (include or exclude):
                raise
            told = f"{error}".rstrip(".")
            raise type(error)(
                f"{told}. What --include or --exclude leave out does not count.", code=error.code
            ) from error

    return run  # type: ignore[return-value]  # the same command, with options of its own


def no_photos(photos: Iterable[str | Path]) -> SetupError:
    """That nothing was found where photos were looked for: not an empty success."""
    named = ", ".join(map(str, photos))
    return SetupError(
        f"no photos in {named}: name photos, or folders that hold some", code="no_photos"
    )


def stopped(photos: int) -> KeyboardInterrupt:
    """Ctrl-C with what is told of it: how many photos were done."""
    return KeyboardInterrupt(
        f"stopped: {photos} photos were done; their features are kept, and the next run goes on "
        "from there"
    )


@contextmanager
def photo_progress(
    photos: Sequence[str | Path], selection: Selection
) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar that knows how many ``"photos"`` there are, where somebody watches it.

    Ctrl-C within the block tells how many were done.
    """
    from aesmamba_sdk.photos import count_photos

    photo_count = count_photos(photos, selection) if sys.stderr.isatty() else 0
    photos_done = 0
    with progress_bar() as progress:

        def tell(what: str, done: int, total: int) -> None:
            nonlocal photos_done
            if what == "photos":
                photos_done, total = done, photo_count
            progress(what, done, total)

        try:
            yield tell
        except KeyboardInterrupt as error:
            raise stopped(photos_done) from error
