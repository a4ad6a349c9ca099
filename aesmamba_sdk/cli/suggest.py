"""``aesmamba suggest``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aesmamba_sdk.cli.output import (
    SOME_FAILED,
    Format,
    chosen_format,
    format_option,
    model_options,
    percent,
    tell,
    write_records,
    write_table,
)
from aesmamba_sdk.cli.selection import PHOTO, no_photos, photo_progress, selection_options

if TYPE_CHECKING:
    from pathlib import Path

    from aesmamba_sdk.photos import Selection
    from aesmamba_sdk.scores import ScoreFailure

_COLUMNS = ("path", "score", "std", "doubt")


@click.command()
@click.argument("user")
@click.argument("photos", nargs=-1, required=True, type=PHOTO)
@click.option("--count", type=click.IntRange(min=1), default=10, show_default=True)
@selection_options
@format_option
@model_options
@click.pass_context
def suggest(
    context: click.Context,
    /,
    user: str,
    photos: tuple[Path, ...],
    count: int,
    selection: Selection,
    form: Format | None,
    model: str | None,
    device: str,
    threads: int | None,
) -> None:
    """Suggest photos for USER to rate next.

    Those that teach most about all the others.

    \b
    Example:
      aesmamba suggest alice ./photos --count 10
    """
    from aesmamba_sdk.photos import expand
    from aesmamba_sdk.sdk import AesMamba

    failures: list[ScoreFailure] = []
    with (
        AesMamba(model, device=device, threads=threads) as sdk,
        photo_progress(photos, selection) as progress,
    ):
        found = sdk.suggest(
            user, photos, count, selection, failed=failures.append, progress=progress
        )
    if not found and next(expand(photos, selection), None) is None:
        raise no_photos(photos)
    for failure in failures:
        tell(f"skipped: {failure.message}")
    if not found and not failures:
        tell(f"nothing to suggest: {user} has rated all these photos")
    if chosen_format(form) == "table":
        rows = [[i, s.path, s.score, s.std, percent(s.doubt)] for i, s in enumerate(found, 1)]
        write_table(f"for {user} to rate", ["#", "Photo", "Guess", "±", "Doubt left"], rows)
    else:
        write_records((vars(s) for s in found), chosen_format(form), _COLUMNS)
    context.exit(SOME_FAILED if failures else 0)
