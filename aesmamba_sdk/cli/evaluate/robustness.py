"""``aesmamba evaluate robustness``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aesmamba_sdk.cli.evaluate.options import (
    ReportFormat,
    data_options,
    print_result,
    protocol_options,
)
from aesmamba_sdk.cli.output import SOME_FAILED, progress_bar, tell

if TYPE_CHECKING:
    from PIL import Image

    from aesmamba_sdk.runs import Progress
    from aesmamba_sdk.scores import Scale
    from aesmamba_sdk.train.datasets import Dataset


@click.command()
@click.argument("photos", nargs=-1, type=click.Path(path_type=Path))
@click.option("--samples", is_flag=True, help="Photographs that installed packages carry.")
@data_options("para")
@protocol_options
@click.pass_context
def robustness(
    context: click.Context,
    photos: Sequence[Path],
    samples: bool,
    data: str,
    split: str | None,
    scale: Scale | None,
    seed: int,
    form: ReportFormat | None,
    model: str | None,
    device: str,
    threads: int | None,
) -> None:
    """Common sense: gross damage lowers scores.

    A flip or a small crop does not move them. Blur, noise, wrong exposure and compression of fixed
    strengths are laid on PHOTOS (files or folders), on --samples, or else on the photos of a
    dataset.

    \b
    Example:
      aesmamba evaluate robustness ~/Pictures/trip
    """
    from aesmamba_sdk.cli.sample_photos import photograph_files
    from aesmamba_sdk.evaluate.data import read_data
    from aesmamba_sdk.evaluate.robustness import robustness as protocol
    from aesmamba_sdk.photos import iter_photos
    from aesmamba_sdk.sdk import AesMamba

    failed: list[str] = []
    with AesMamba(model, device=device, threads=threads) as sdk, progress_bar() as progress:
        if photos or samples:
            named = "sample photos" if samples else ", ".join(map(str, photos))
            files = [*(photograph_files() if samples else ()), *iter_photos(photos)]
            images = _from_files(files, failed, progress)
        else:
            dataset = read_data(data, split, scale)
            named, images = dataset.name, _from_dataset(dataset, progress)
        result = protocol(sdk.backbone, images, seed)
        result.settings = {"model": sdk.backbone.id, "data": named, **result.settings, "seed": seed}
    print_result(result, form)
    if failed:
        context.exit(SOME_FAILED)


def _from_files(
    files: Sequence[Path], failed: list[str], progress: Progress
) -> Iterator[Image.Image]:
    """Photos that can be read; the others are told and collected."""
    from aesmamba_sdk.errors import PhotoError
    from aesmamba_sdk.photos import load_photo

    for done, file in enumerate(files, 1):
        try:
            yield load_photo(file).image
        except PhotoError as error:
            failed.append(str(file))
            tell(f"skipped: {error}")
        progress("photos", done, len(files))


def _from_dataset(dataset: Dataset, progress: Progress) -> Iterator[Image.Image]:
    for done, sample in enumerate(dataset.samples, 1):
        yield dataset.images.load(sample.image, sample.row)
        progress("photos", done, len(dataset))
    dataset.images.close()
