"""``aesmamba evaluate giaa`` and ``aesmamba evaluate fiaa``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from aesmamba_sdk.cli.evaluate.options import (
    ReportFormat,
    data_options,
    print_result,
    protocol_options,
)
from aesmamba_sdk.cli.output import progress_bar
from aesmamba_sdk.cli.train import skip_option

if TYPE_CHECKING:
    from aesmamba_sdk.evaluate.report import Result
    from aesmamba_sdk.scores import Scale


@click.command()
@data_options("para")
@skip_option
@protocol_options
def giaa(**options: Any) -> None:
    """GIAA: the generic score against what people say on average.

    Accuracy, PLCC and SRCC with 95 % bootstrap intervals over photos, and calibration. On photos
    of another kind, such as oasis, it tells how well the score transfers.

    \b
    Example:
      aesmamba evaluate giaa --data para=./para
      aesmamba evaluate giaa --data folder=./photos --scale 1-10 --model runs/mine/model
    """
    from aesmamba_sdk.evaluate.attributes import check_giaa
    from aesmamba_sdk.evaluate.attributes import giaa as protocol

    _run(protocol, check_giaa, **options)


@click.command()
@data_options("para")
@skip_option
@protocol_options
def fiaa(**options: Any) -> None:
    """FIAA: every attribute's score.

    Beside a copy of the aesthetic score in its place: accuracy, PLCC and SRCC with 95 % bootstrap
    intervals over photos, the paired gain over the copy, the SRCC of what an attribute is above the
    aesthetic score, and calibration.

    \b
    Example:
      aesmamba evaluate fiaa --data para=./para
    """
    from aesmamba_sdk.evaluate.attributes import check_fiaa
    from aesmamba_sdk.evaluate.attributes import fiaa as protocol

    _run(protocol, check_fiaa, **options)


def _run(
    protocol: Callable[..., Result],
    check: Callable[[Sequence[str]], None],
    *,
    data: str,
    split: str | None,
    scale: Scale | None,
    skip_unusable: bool,
    seed: int,
    form: ReportFormat | None,
    model: str | None,
    device: str,
    threads: int | None,
) -> None:
    from aesmamba_sdk.evaluate.data import read_data, score_dataset, shared_attributes
    from aesmamba_sdk.sdk import AesMamba

    dataset = read_data(data, split, scale)
    with AesMamba(model, device=device, threads=threads) as sdk, progress_bar() as progress:
        # What is missing is told before all photos are encoded.
        check(shared_attributes(dataset, sdk.backbone.config.attributes))
        scored = score_dataset(sdk.backbone, dataset, progress, skip_unusable=skip_unusable)
        model_id = sdk.backbone.id
    result = protocol(scored, seed, data=data.partition("=")[0])
    result.settings = {
        "model": model_id,
        "data": dataset.name,
        "photos": len(scored),
        "seed": seed,
    }
    if skipped := len(dataset) - len(scored):
        result.settings["skipped"] = skipped
    print_result(result, form)
