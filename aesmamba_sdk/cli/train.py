"""``aesmamba train``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aesmamba_sdk.cli.output import ScaleType, progress_bar, tell, write_table
from aesmamba_sdk.profiles.prompts import CHARACTERS

if TYPE_CHECKING:
    from aesmamba_sdk.train.recipe import Outcome, Recipe

_ARGUMENTS = {
    "epochs": "Passes over the training examples.",
    "batch_size": "Examples a step, all GPUs together.",
    "learning_rate": "Highest learning rate; falls to 1e-6 along a cosine.",
    "warmup": "Share of the steps in which the rate rises.",
    "weight_decay": "Of matrices and convolutions.",
    "image_size": "Side of the crops, and of photos when they are scored.",
    "ema": "Decay of the averaged weights; 0 for none.",
    "clip": "Largest gradient norm; 0 for no limit.",
    "photo_alone": "Share of examples with a text that are learned without it.",
    "features": "Weight of the teacher's features of the whole crop.",
    "blended": "Share of photos laid over one another, learned from the teacher alone.",
    "softened": "How far photos are at most moved towards a blur; the teacher sees them clear.",
    "agreement": "Weight of the difference between scores of photos and of their mirror images.",
    "soft_targets": "Weight of the teacher's scores.",
    "seed": "Of everything random.",
    "checkpoint_minutes": "Time between checkpoints.",
}

_OTHER_ARGUMENTS = ("distillation", "bfloat16", "categories", "optimizer")


class _DataType(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    """A dataset and where it lies: ``para=FOLDER``, or ``para`` in ``AESMAMBA_DATA``."""

    name = "NAME[=FOLDER]"

    def convert(self, value: Any, param: Any, context: Any) -> tuple[str, Path]:
        from aesmamba_sdk.train.data import named_folder

        if not str(value).partition("=")[0]:
            self.fail(f"{value!r} names no dataset; write it like para=FOLDER", param, context)
        return named_folder(str(value))


def _argument_options(command: Callable[..., None]) -> Callable[..., None]:
    """An option for every training argument that people change; unset ones are the task's."""
    for name, text in reversed(_ARGUMENTS.items()):
        whole = name in ("batch_size", "image_size", "seed")
        kind = click.IntRange(min=int(name != "seed")) if whole else click.FloatRange(min=0)
        command = click.option(f"--{name.replace('_', '-')}", type=kind, help=text)(command)
    return command


skip_option = click.option(
    "--skip-unusable", is_flag=True, help="Go on without photos that are missing or unreadable."
)

_OPTIONS: Sequence[Callable[..., Any]] = (
    click.option("--data", required=True, type=_DataType(), help="Dataset and where it lies."),
    click.option(
        "--out",
        required=True,
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of the run.",
    ),
    click.option("--split", default="train", show_default=True, help="Part to train on."),
    click.option(
        "--validation",
        default="0.1",
        show_default=True,
        help="Share of the photos (and people) held out to choose the weights by, or a "
        "split's name.",
    ),
    click.option(
        "--scale", type=ScaleType(), help="Range of the scores of a folder; 1-5 by default."
    ),
    skip_option,
    click.option(
        "--encoder",
        help="VMamba preset with random weights (default: nano), or an image network of "
        "transformers: resnet, vit, swin, convnext, a folder with weights.",
    ),
    click.option("--init", help="Model, imported or trained, to begin from instead."),
    click.option("--text", help="Text encoder: compact (default), or the folder of a BERT."),
    click.option("--teacher", help="Model or MobileNetV2 .tflite file to distil features from."),
    click.option(
        "--distillation", type=click.FloatRange(min=0), help="Weight of the teacher's maps."
    ),
    click.option(
        "--characters",
        type=click.Choice(list(CHARACTERS)),
        default="all",
        show_default=True,
        help="What prompts tell of people.",
    ),
    click.option(
        "--categories",
        type=click.Choice(["balanced", "plain", "none"]),
        help="Cross-entropy of scale categories beside the scores; balanced by default.",
    ),
    click.option(
        "--optimizer",
        type=click.Choice(["adamw", "muon"]),
        help="AdamW by default; Muon moves the matrices of the encoder's blocks, in fewer steps.",
    ),
    _argument_options,
    click.option("--bfloat16/--float32", default=None, help="Default: bfloat16 on GPUs alone."),
    click.option(
        "--cache",
        type=click.Path(path_type=Path),
        help="Folder of decoded photos, shared by runs; by default in the folder of the run.",
    ),
    click.option("--name", help="What to call the model; by default as the folder of the run."),
    click.option("--license", "license_", help="Terms of the weights, for their model card."),
)


def recipe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that :func:`build_recipe` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("task", type=click.Choice(["giaa", "fiaa", "miaa", "piaa"]))
@recipe_options
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--threads", type=click.IntRange(min=1), help="Default: torch's choice.")
def train(task: str, device: str, threads: int | None, **options: Any) -> None:
    """Train a model: TASK is giaa, fiaa, miaa or piaa.

    giaa learns one score of a photo (AesMamba-V), fiaa all attributes (F), miaa a score from photo
    and captions (M), piaa people's own scores from photo and who they are (P). Datasets: aadb,
    ava, ava-captions, oasis, para, para-people, photonet, tad66k, or any folder with a CSV table.
    The same command goes on from the last checkpoint. docs/training.md tells more.

    \b
    Example:
      aesmamba train giaa --data para=~/PARA --out runs/giaa
      aesmamba train fiaa --data folder=./photos --scale 1-10 --init nano --out runs/mine
      aesmamba score beach.jpg --model runs/giaa/model
    """
    import torch

    from aesmamba_sdk.memory import keep_freed_memory
    from aesmamba_sdk.train.devices import open_devices, unused_gpus
    from aesmamba_sdk.train.recipe import train as carry_out

    if threads is not None:
        torch.set_num_threads(threads)
    keep_freed_memory()
    devices = open_devices(device)
    recipe = build_recipe(task, on_gpu=devices.device.type == "cuda", **options)
    if idle := unused_gpus(devices):
        tell(f"one GPU trains, {idle} more could: accelerate launch $(which aesmamba) train …")
    with progress_bar() as progress:
        outcome = carry_out(recipe, devices=devices, progress=progress)
    if devices.first:
        _report(recipe, outcome)


def build_recipe(task: str, *, on_gpu: bool, **options: Any) -> Recipe:
    """What the options ask for; arguments that are not given are the task's."""
    from dataclasses import replace

    from aesmamba_sdk.train.recipe import Recipe
    from aesmamba_sdk.train.start import Start
    from aesmamba_sdk.train.tasks import TASKS

    given = {name: options.pop(name) for name in [*_ARGUMENTS, *_OTHER_ARGUMENTS]}
    if options["teacher"] is not None and given["distillation"] is None:
        given["distillation"] = 1.0
    if given["bfloat16"] is None:
        given["bfloat16"] = on_gpu
    changed = {name: value for name, value in given.items() if value is not None}
    name, folder = options.pop("data")
    validation = options.pop("validation")
    return Recipe(
        task,
        name,
        folder,
        options.pop("out"),
        validation=float(validation) if _is_number(validation) else validation,
        start=Start(options.pop("encoder"), options.pop("init"), options.pop("text")),
        license=options.pop("license_"),
        arguments=replace(TASKS[task].arguments, **changed),
        **options,
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _report(recipe: Recipe, outcome: Outcome) -> None:
    if outcome.begun_from:
        tell(f"begun from {recipe.start.model}: {', '.join(outcome.begun_from)}")
    names = {name.partition("_")[2]: None for name in outcome.validation}
    rows = [
        [n.replace("_", " "), *(outcome.validation[f"{kind}_{n}"] for kind in ("srcc", "plcc"))]
        for n in names
    ]
    title = f"{outcome.examples} examples learned; on {outcome.held_out} held out for validation"
    write_table(title, ["Attribute", "SRCC", "PLCC"], rows)
    if outcome.skipped:
        tell(f"skipped: {outcome.skipped} photos that are missing or unreadable")
    if outcome.curves is None:
        tell("no picture of the curves: pip install 'aesmamba-sdk[train]'")
    else:
        tell(f"curves: {outcome.curves}")
    tell(f"model: {outcome.model}   use it with --model {outcome.model}")
