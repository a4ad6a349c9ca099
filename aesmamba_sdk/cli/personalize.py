"""``aesmamba personalize``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from aesmamba_sdk.cli.output import (
    Format,
    chosen_format,
    format_option,
    model_options,
    percent,
    progress_bar,
    rating_options,
    seed_option,
    tell_left_out,
    write_records,
)
from aesmamba_sdk.personalize.methods import METHODS
from aesmamba_sdk.personalize.report import PersonalizeReport
from aesmamba_sdk.scores import Scale

_COLUMNS = tuple(field.name for field in dataclasses.fields(PersonalizeReport))


@click.command()
@click.argument("user")
@click.argument("rated_photos", required=False, type=click.Path(path_type=Path))
@click.option("--shots", type=click.IntRange(min=2), help="Learn from so many ratings at most.")
@rating_options
@click.option(
    "--choices",
    type=click.Path(path_type=Path),
    help="Also a table of pairs of photos: columns better, worse; CSV or JSON.",
)
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="auto",
    show_default=True,
    help="How to learn: by the evidence; the scale alone; a closed-form head; LoRA adapters; every "
    "weight, for a GPU.",
)
@seed_option
@click.option("--dry-run", is_flag=True, help="Only tell how well it would work.")
@format_option
@model_options
def personalize(
    user: str,
    rated_photos: Path | None,
    shots: int | None,
    scale: Scale | None,
    rejects: Any,
    picks: Any,
    unrated: float,
    choices: Path | None,
    method: Any,
    seed: int,
    dry_run: bool,
    form: Format | None,
    model: str | None,
    device: str,
    threads: int | None,
) -> None:
    """Learn USER's taste from RATED_PHOTOS.

    RATED_PHOTOS is a folder with ratings.csv or ratings.json (file, score), a folder of star
    folders 1 to 5, a folder of photos with stars in their metadata or sidecars, or such a table
    itself. Without it, learns again from all stored ratings.

    \b
    Example:
      aesmamba personalize alice ./rated_photos
      aesmamba personalize alice ~/Pictures/2024
    """
    from aesmamba_sdk.ratings import read_choices
    from aesmamba_sdk.sdk import AesMamba

    with AesMamba(model, device=device, threads=threads) as sdk, progress_bar() as progress:
        report = sdk.personalize(
            user,
            rated_photos,
            shots=shots,
            scale=scale,
            rejects=rejects,
            picks=picks,
            unrated=unrated,
            choices=read_choices(choices) if choices else (),
            method=method,
            seed=seed,
            dry_run=dry_run,
            progress=progress,
        )
    tell_left_out(report.problems, report.notes)
    if chosen_format(form) == "table":
        click.echo(describe(report))
    else:
        write_records([report.to_dict()], chosen_format(form), _COLUMNS)


def describe(report: PersonalizeReport) -> str:
    """The report in a few lines."""
    made = "dry run, nothing stored" if report.version is None else f"model v{report.version}"
    learned = f"{report.shots} ratings" + f", {report.choices} choices" * bool(report.choices)
    cost = f"{report.seconds:.1f} s, {report.size / 1000:.0f} kB"
    lines = [f"{report.user}: {made}, {learned}, {cost}"]
    if report.srcc is None and report.method == "affine":
        lines.append("too few different ratings to judge by: the generic score on your scale")
    elif report.srcc is None:
        lines += ["too few ratings to judge by", _describe_trust(report)]
    else:
        lines += [
            "held-out ratings    generic  personal",
            f"  rank correlation  {report.generic_srcc:7.2f}  {report.srcc:8.2f}",
            f"  mean error        {report.generic_mae:7.2f}  {report.mae:8.2f}",
            _describe_trust(report),
        ]
    return "\n".join(lines)


def _describe_trust(report: PersonalizeReport) -> str:
    if report.trust == 0:
        return "no taste beyond the scale was found yet: the generic score, on your scale"
    trust = percent(report.trust)
    if report.method == "bayes":
        return f"learned taste counts {trust}; every score says how sure it is"
    return f"the score is {trust} learned taste, the rest generic; more ratings raise this"
