"""``aesmamba evaluate piaa`` and ``aesmamba evaluate suggest``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aesmamba_sdk.cli.evaluate.options import Command, ReportFormat, print_result, protocol_options
from aesmamba_sdk.cli.output import progress_bar
from aesmamba_sdk.personalize.methods import REACH_OF as TRAINED
from aesmamba_sdk.personalize.methods import Method

if TYPE_CHECKING:
    from aesmamba_sdk.evaluate.heads import Row
    from aesmamba_sdk.evaluate.report import Result
    from aesmamba_sdk.model.backbone import Backbone
    from aesmamba_sdk.train.people import RatedPhotos

Found = TypeVar("Found")
People = Sequence["RatedPhotos"]


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
            "--people", type=click.IntRange(min=1), help="Test so many of a group, drawn at random."
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
@click.option(
    "--also",
    type=click.Choice(list(TRAINED)),
    multiple=True,
    help="Also a method that trains a network for each person: seconds to hours a person.",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep figures of --also in this file person by person, and go on from those in it.",
)
@_people_options
@protocol_options
def piaa(
    shots: tuple[int, ...], also: tuple[Method, ...], keep: Path | None, **options: Any
) -> None:
    """PIAA: how well one person's taste is learned.

    From 10 or 100 ratings. People and photos of the tested group are both unseen; the groups
    rotate. Every method is compared with a generic head that was fitted to the other groups' mean
    ratings.

    \b
    Example:
      aesmamba evaluate piaa --data oasis=./oasis
      aesmamba evaluate piaa --also lora --people 20 --repeats 2 --keep lora.jsonl
    """
    from aesmamba_sdk.evaluate.kept import KeptFigures
    from aesmamba_sdk.evaluate.networks import network_row
    from aesmamba_sdk.evaluate.piaa import run_piaa
    from aesmamba_sdk.evaluate.piaa_report import piaa_result

    def measure(groups: People, backbone: Backbone, **how: Any) -> Any:
        seed = how["seed"]
        slow: dict[str, Row] = {name: network_row(backbone, name, seed) for name in also}
        settings = {"model": backbone.id, "data": options["data"].partition("=")[0], "seed": seed}
        kept = KeptFigures(keep, settings)
        scale = backbone.config.scale
        return run_piaa(groups, scale, shots=shots, slow=slow, kept=kept, **how)

    _run(measure, piaa_result, **options)


@click.command()
@click.option(
    "--picture", type=click.Path(path_type=Path), help="Also draw the learning curves, a PNG."
)
@_people_options
@protocol_options
def suggest(picture: Path | None, **options: Any) -> None:
    """How much faster a taste is learned from chosen photos.

    Those that `aesmamba suggest` chooses, against photos at random.

    \b
    Example:
      aesmamba evaluate suggest --data oasis=./oasis --picture curves.png
    """
    from aesmamba_sdk.evaluate.learning import learning_curves, learning_result

    _run(
        lambda groups, backbone, **how: learning_curves(groups, backbone.config.scale, **how),
        lambda found, seed: learning_result(found, seed, picture),
        **options,
    )


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
        how = {"repeats": repeats, "people": people, "seed": seed, "progress": progress}
        result = report(measure(groups, sdk.backbone, **how), seed)
    result.settings = {
        "model": sdk.backbone.id,
        "data": name,
        "photos": sum(len(group.generic) for group in groups),
        "people": people or "all",
        "repeats": repeats,
        "seed": seed,
    }
    print_result(result, form)
