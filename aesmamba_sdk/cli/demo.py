"""``aesmamba demo``: the whole story on real photos, in a home that is gone afterwards."""

from __future__ import annotations

import click

from aesmamba_sdk.cli.output import model_options


@click.command()
@click.option("--keep", type=click.Path(file_okay=False), help="Keep the photos and home here.")
@model_options
def demo(keep: str | None, model: str | None, device: str, threads: int | None) -> None:
    """Score, rank and personalize sample photos. Nothing is set up, nothing is left behind.

    \b
    Example:
      aesmamba demo
    """
    from aesmamba_sdk.cli.story import tell_story

    tell_story(keep, model, device, threads)
