"""``aesmamba evaluate``: the paper's protocols, one file each."""

from __future__ import annotations

import click

from aesmamba_sdk.cli.evaluate.ablation import ablation
from aesmamba_sdk.cli.evaluate.attributes import fiaa, giaa
from aesmamba_sdk.cli.evaluate.piaa import piaa, suggest
from aesmamba_sdk.cli.evaluate.robustness import robustness


@click.group()
def evaluate() -> None:
    """Measure a model by the paper's protocols, on data you have.

    Datasets are named NAME=FOLDER, or NAME alone for the folder of that name in AESMAMBA_DATA.
    """


for _protocol in (ablation, fiaa, giaa, piaa, robustness, suggest):
    evaluate.add_command(_protocol)
