"""``aesmamba evaluate piaa``."""

from __future__ import annotations

from pathlib import Path

import click

from aesmamba_sdk.cli.evaluate.options import ReportFormat, print_result, protocol_options
from aesmamba_sdk.cli.output import progress_bar


@click.command()
@click.option(
    "--data",
    default="oasis",
    show_default=True,
    metavar="NAME[=FOLDER]",
    help="Groups of raters; without a folder, that of its name in AESMAMBA_DATA.",
)
@click.option(
    "--shots",
    type=click.IntRange(min=2),
    multiple=True,
    default=(10, 100),
    show_default=True,
    help="Rated photos to learn from; may be given several times.",
)
@click.option("--repeats", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--people", type=click.IntRange(min=1), help="Test so many of a group at most.")
@protocol_options
def piaa(
    data: str,
    shots: tuple[int, ...],
    repeats: int,
    people: int | None,
    seed: int,
    form: ReportFormat | None,
    model: str | None,
    device: str,
    threads: int | None,
) -> None:
    """PIAA: how well one person's taste is learned from 10 or 100 ratings.

    People and photos of the tested group are both unseen; the groups rotate. Every method is
    compared with a generic head that was fitted to the other groups' mean ratings.

    \b
    Example:
      aesmamba evaluate piaa --data oasis=./oasis
    """
    from aesmamba_sdk.evaluate.piaa import run_piaa
    from aesmamba_sdk.evaluate.piaa_report import piaa_result
    from aesmamba_sdk.sdk import AesMamba
    from aesmamba_sdk.train.data import data_folder
    from aesmamba_sdk.train.people import read_people

    name, _, folder = data.partition("=")
    place = Path(folder) if folder else data_folder() / name
    with AesMamba(model, device=device, threads=threads) as sdk, progress_bar() as progress:
        groups = read_people(name, place, sdk.backbone, sdk.embeddings, progress)
        found = run_piaa(
            groups,
            sdk.backbone.config.scale,
            shots=shots,
            repeats=repeats,
            people=people,
            seed=seed,
            progress=progress,
        )
        model_id = sdk.backbone.id
    result = piaa_result(found, seed)
    result.settings = {
        "model": model_id,
        "data": name,
        "photos": sum(len(group.generic) for group in groups),
        "people": len(next(iter(found.values())).by_person("srcc")),
        "repeats": repeats,
        "seed": seed,
    }
    print_result(result, form)
