"""``aesmamba report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aesmamba_sdk.cli.output import SOME_FAILED, model_options, tell
from aesmamba_sdk.cli.selection import PHOTO, photo_progress, selection_options

if TYPE_CHECKING:
    from aesmamba_sdk.photos import Selection


@click.command()
@click.argument("photos", nargs=-1, required=True, type=PHOTO)
@click.option("--user", help="Whose taste; nobody's by default.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="The page to write.",
)
@click.option(
    "--regions",
    type=click.IntRange(min=0),
    default=6,
    show_default=True,
    help="Tell which regions matter for so many photos, the best and the worst.",
)
@selection_options
@model_options
@click.pass_context
def report(
    context: click.Context,
    photos: tuple[Path, ...],
    user: str | None,
    output: Path,
    regions: int,
    selection: Selection,
    model: str | None,
    device: str,
    threads: int | None,
) -> None:
    """Write one page about PHOTOS and folders.

    A contact sheet, charts, and why each photo has its score: one file that needs no network. It
    holds small copies of the photos.

    \b
    Example:
      aesmamba report ~/Pictures/trip --user alice -o trip.html
    """
    from aesmamba_sdk.sdk import AesMamba

    opened = AesMamba(model, device=device, threads=threads)
    with opened as sdk, photo_progress(photos, selection) as progress:
        written = sdk.report(
            photos, output, user=user, regions=regions, selection=selection, progress=progress
        )
    for failure in written.failures:
        tell(f"skipped: {failure.message}")
    tell(f"{written.file}: {written.photos} photos, {written.size / 1e6:.1f} MB")
    context.exit(SOME_FAILED if written.failures else 0)
