"""``aesmamba evaluate piaa`` and ``aesmamba evaluate suggest``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aesmamba_sdk.cli.evaluate.options import Command, ReportFormat, print_result, protocol_options
from aesmamba_sdk.cli.output import progress_bar

if TYPE_CHECKING:
    from aesmamba_sdk.evaluate.report import Result

Found = TypeVar("Found")


def _people_options(command: Command) -> Command:
    """``--data``, ``--repeats`` and ``--people``."""
    options = [
        click.option(
            "--data",
            default="oasis",
            show_default=True,
            metavar="NAME[=FOLDER]",
            help="Groups of raters; without a folder, that of its name in AESMAMBA_DATA.",
        ),
        click.option("--repeats", type=click.IntRange(min=1), default=10, show_default=True),
        click.option(
            "--people", type=click.IntRange(min=1), help="Test so many of a group at most."
        ),
    ]
    for option in options:
        command = option(command)
    return command


@click.command()
@click.option(
    "--shots",
    type=click.IntRange(min=2),
    multiple=True,
    default=(10, 100),
    show_default=True,
    help="Rated photos to learn from; may be given several times.",
)
@_people_options
@protocol_options
def piaa(shots: tuple[int, ...], **options: Any) -> None:
    """PIAA: how well one person's taste is learned from 10 or 100 ratings.

    People and photos of the tested group are both unseen; the groups rotate. Every method is
    compared with a generic head that was fitted to the other groups' mean ratings.

    \b
    Example:
      aesmamba evaluate piaa --data oasis=./oasis
    """
    from aesmamba_sdk.evaluate.piaa import run_piaa
    from aesmamba_sdk.evaluate.piaa_report import piaa_result

    _run(
        lambda groups, scale, **how: run_piaa(groups, scale, shots=shots, **how),
        piaa_result,
        **options,
    )


@click.command()
@click.option(
    "--picture", type=click.Path(path_type=Path), help="Also draw the learning curves, a PNG."
)
@_people_options
@protocol_options
def suggest(picture: Path | None, **options: Any) -> None:
    """How much faster a taste is learned from photos that `aesmamba suggest` chooses.

    \b
    Example:
      aesmamba evaluate suggest --data oasis=./oasis --picture curves.png
    """
    from aesmamba_sdk.evaluate.learning import learning_curves, learning_result

    _run(learning_curves, lambda found, seed: learning_result(found, seed, picture), **options)


def _run(
    measure: Callable[..., Found],
    report: Callable[[Found, int], Result],
    *,
    data: str,
    repeats: int,
    people: int | None,
    seed: int,
    form: ReportFormat | None,
    model: str | None,
    device: str,
    threads: int | None,
) -> None:
    from aesmamba_sdk.sdk import AesMamba
    from aesmamba_sdk.train.data import named_folder
    from aesmamba_sdk.train.people import read_people

    name, place = named_folder(data)
    with AesMamba(model, device=device, threads=threads) as sdk, progress_bar() as progress:
        groups = read_people(name, place, sdk.backbone, sdk.embeddings, progress)
        scale, model_id = sdk.backbone.config.scale, sdk.backbone.id
        how = {"repeats": repeats, "people": people, "seed": seed, "progress": progress}
        result = report(measure(groups, scale, **how), seed)
    result.settings = {
        "model": model_id,
        "data": name,
        "photos": sum(len(group.generic) for group in groups),
        "people": people or "all",
        "repeats": repeats,
        "seed": seed,
    }
    print_result(result, form)
