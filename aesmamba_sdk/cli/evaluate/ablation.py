"""``aesmamba evaluate ablation``."""

from __future__ import annotations

from typing import Any

import click

from aesmamba_sdk.cli.evaluate.options import ReportFormat, format_option, print_result
from aesmamba_sdk.cli.output import progress_bar
from aesmamba_sdk.cli.train import build_recipe, recipe_options


@click.command()
@click.argument("ablated", metavar="NAME", type=click.Choice(["mba", "smp"]))
@click.option(
    "--task",
    type=click.Choice(["giaa", "fiaa", "miaa", "piaa"]),
    help="What is trained. Default: fiaa for mba, piaa for smp.",
)
@click.option("--test", default="test", show_default=True, help="Split that is measured.")
@click.option("--runs", type=click.IntRange(min=1), default=3, show_default=True)
@recipe_options
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--threads", type=click.IntRange(min=1), help="Default: torch's choice.")
@format_option
def ablation(
    ablated: str,
    task: str | None,
    test: str,
    runs: int,
    device: str,
    threads: int | None,
    form: ReportFormat | None,
    **options: Any,
) -> None:
    """Train a model's variants and compare them: NAME is mba or smp.

    mba: without scale categories (Model-A), with plain (B) and with balanced cross-entropy of them
    (C). smp: prompts that tell nothing, art experience, photographic experience, personality or
    all of a person, against the generic score. Takes the options of `aesmamba train`; --categories
    and --characters are the ablation's own business. Pictures go to --out; runs that are finished
    there are not made again.

    \b
    Example:
      aesmamba evaluate ablation mba --data para=~/PARA --out runs/mba
      aesmamba evaluate ablation smp --data para-people=~/PARA --out runs/smp --init nano
    """
    import torch

    from aesmamba_sdk.evaluate.ablation import ablate
    from aesmamba_sdk.memory import keep_freed_memory
    from aesmamba_sdk.train.devices import open_devices

    if threads is not None:
        torch.set_num_threads(threads)
    keep_freed_memory()
    devices = open_devices(device)
    task = task or ("piaa" if ablated == "smp" else "fiaa")
    recipe = build_recipe(task, on_gpu=devices.device.type == "cuda", **options)
    first = recipe.arguments.seed if recipe.arguments else 0
    seeds = range(first, first + runs)
    with progress_bar() as progress:
        result = ablate(ablated, recipe, test, seeds, devices=devices, progress=progress)
    if devices.first:
        print_result(result, form)
