"""``aesmamba model``: the shared models."""

from __future__ import annotations

from pathlib import Path

import click

from aesmamba_sdk.cli.output import (
    Format,
    ScaleType,
    chosen_format,
    format_option,
    tell,
    write_records,
    write_table,
)
from aesmamba_sdk.paths import home_folder
from aesmamba_sdk.scores import Scale


@click.group()
def model() -> None:
    """Shared models: list and import."""


@model.command("list")
@format_option
def list_(form: Format | None) -> None:
    """List the models that ship and those imported.

    \b
    Example:
      aesmamba model list
    """
    from aesmamba_sdk.model.library import list_models

    found = [{"name": name, "folder": str(f)} for name, f in list_models(home_folder()).items()]
    if chosen_format(form) == "table":
        write_table("Models", ["Name", "Folder"], [[m["name"], m["folder"]] for m in found])
    else:
        write_records(found, chosen_format(form), ["name", "folder"])


@model.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", required=True, help="What to call the model.")
@click.option("--scale", type=ScaleType(), help="Range of the labels of an AesMamba file.")
@click.option(
    "--tokenizer",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="BERT folder whose words an AesMamba-M or -P file was trained with.",
)
def import_(file: Path, name: str, scale: Scale | None, tokenizer: Path | None) -> None:
    """Import a public VMamba or AesMamba weight file.

    \b
    Example:
      aesmamba model import vssm1_tiny_0230s.pth --name vmamba-tiny
    """
    from aesmamba_sdk.model.importing import import_model
    from aesmamba_sdk.model.weights import read_config

    folder = import_model(file, name, home_folder(), scale=scale, tokenizer=tokenizer)
    heads = len(read_config(folder).attributes)
    what = f"with {heads} head{'s' * (heads > 1)}" if heads else "without heads: train some first"
    tell(f"imported {name!r} {what}, to {folder}")
