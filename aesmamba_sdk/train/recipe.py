"""One training run from beginning to end: data, model, loop, and the model folder it leaves.

from aesmamba_sdk.train.recipe import Recipe, train

train(Recipe("giaa", "para", Path("PARA"), Path("runs/giaa")))
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from aesmamba_sdk.errors import DatasetError, SetupError
from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.backbone import save_reference
from aesmamba_sdk.model.folder import save_model
from aesmamba_sdk.paths import home_folder
from aesmamba_sdk.profiles.prompts import CHARACTERS
from aesmamba_sdk.runs import Progress
from aesmamba_sdk.scores import Scale
from aesmamba_sdk.train.correlations import FEWEST, correlations
from aesmamba_sdk.train.data import PhotoSet
from aesmamba_sdk.train.datasets import Dataset, read_dataset
from aesmamba_sdk.train.datasets.para import LICENSE
from aesmamba_sdk.train.devices import Devices, open_devices
from aesmamba_sdk.train.journal import Journal, draw_curves
from aesmamba_sdk.train.lock import alone
from aesmamba_sdk.train.loop import CHECKPOINT_FILE, TrainingArguments
from aesmamba_sdk.train.start import Start, build
from aesmamba_sdk.train.tasks import TASKS, Examples, Task, divide, gather
from aesmamba_sdk.train.teachers import check_scores, open_teacher
from aesmamba_sdk.train.trainer import Teacher, Trainer, asks_teacher, check_taught
from aesmamba_sdk.train.views import describe, predict

MODEL_FOLDER = "model"
_RUN_FILE = "run.json"
_LOCK_FILE = "run.lock"
_UNCROPPED = 8 / 7  # 256 to 224: photos are decoded so large that a crop of 7/8 needs no resizing


@dataclass(frozen=True)
class Recipe:
    """What to train, on what, and where to keep it.

    Attributes:
        task: ``giaa``, ``fiaa``, ``miaa`` or ``piaa``.
        data: name of the dataset, as ``read_dataset`` knows it.
        folder: where it lies.
        out: what a run leaves: checkpoint, metrics, curves and ``model/``. The same recipe
            goes on from what is there.
        split: to train on.
        validation: share of the training photos (and, for piaa, of the people) that are held out
            to choose the best weights by; or the name of another split.
        scale: range of the scores of a ``folder``.
        skip_unusable: go on without photos that are missing or unreadable.
        characters: what prompts tell of people: ``none``, ``art``, ``photo``, ``personality`` or
            ``all`` (section 4.5.2).
        start: encoder, text encoder or model to begin from.
        teacher: a MobileNetV2 ``.tflite`` or a model, for ``arguments.distillation``.
        cache: where decoded photos are kept; by default in ``out``. Runs on the same photos at the
            same size may share it.
        name: what the model is called; by default that of ``out``.
        license: terms of its weights.
        arguments: how to train; by default the task's.
    """

    task: str
    data: str
    folder: Path
    out: Path
    split: str = "train"
    validation: float | str = 0.1
    scale: Scale | None = None
    skip_unusable: bool = False
    characters: str = "all"
    start: Start = dataclasses.field(default_factory=Start)
    teacher: str | None = None
    cache: Path | None = None
    name: str | None = None
    license: str | None = None
    arguments: TrainingArguments | None = None


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        model: the finished model folder.
        validation: figures of its weights on the validation examples, by name.
        examples: how many it learned from.
        held_out: how many chose the weights.
        begun_from: parts that were taken over from another model.
        curves: the picture; ``None`` without ``matplotlib``.
        skipped: photos that cannot be used, for training and validation.
    """

    model: Path
    validation: dict[str, float]
    examples: int
    held_out: int
    begun_from: tuple[str, ...]
    curves: Path | None
    skipped: int = 0


def train(
    recipe: Recipe, *, devices: Devices | None = None, progress: Progress | None = None
) -> Outcome:
    """Carry out a recipe, or go on with it.

    Args:
        devices: by default the best there are.
        progress: is told what is under way, how much is done, and of how much.

    Raises:
        SetupError: the recipe cannot be carried out as it is, ``out`` holds another's run, or
            another process trains there.
        DatasetError: the dataset is not as its reader expects, or not for this task, too few
            examples are held out to choose the weights by, or some of them are trained on.
        CheckpointError: a model to begin from or to distil is not usable.
    """
    task = _task(recipe)
    devices = devices or open_devices()
    arguments = recipe.arguments or task.arguments
    check_taught(arguments, taught=recipe.teacher is not None)
    if recipe.teacher is not None and not asks_teacher(arguments):
        raise SetupError("a teacher needs a weight: distillation, features or soft targets above 0")
    with _alone(recipe.out) if devices.first else nullcontext():
        return _carry_out(recipe, task, arguments, devices, progress)


def _carry_out(
    recipe: Recipe,
    task: Task,
    arguments: TrainingArguments,
    devices: Devices,
    progress: Progress | None,
) -> Outcome:
    with devices.first_before_others():
        _claim(recipe, arguments.seed)  # before all photos are decoded
        data, examples, held_out = _examples(recipe, task, arguments, progress)
        if arguments.keep_best:
            _check_ranking(held_out)
        _claim(recipe, arguments.seed, len(data) - examples.skipped)
    model, begun_from = build(
        recipe.start,
        task,
        examples,
        data,
        image_size=arguments.image_size,
        seed=arguments.seed,
        name=recipe.name or recipe.out.resolve().name,
        license=recipe.license or _terms(recipe, data),
    )
    teacher = _teacher(recipe, arguments, model, devices)
    journal = Journal(recipe.out, board=devices.first)
    trainer = Trainer(
        model,
        examples.photos,
        held_out.photos,
        recipe.out,
        arguments,
        teacher,
        categories=data.categories,
        devices=devices,
        journal=journal,
    )
    trainer.run(progress)
    journal.close()
    scores = predict(model, held_out.photos, arguments.image_size)
    figures = correlations(scores, held_out.photos, examples.attributes)
    outcome = Outcome(
        recipe.out / MODEL_FOLDER,
        figures,
        len(examples.photos),
        len(held_out.photos),
        begun_from,
        draw_curves(recipe.out) if devices.first else None,
        examples.skipped + held_out.skipped,
    )
    with devices.first_before_others():  # whoever returns may open the model
        if devices.first:
            once, _ = held_out.photos.once()
            reference = describe(model, once, arguments.image_size)
            _keep(model, reference, _card(recipe, data, model, outcome), outcome.model)
    return outcome


def _alone(out: Path) -> AbstractContextManager[None]:
    """Let no other run write into ``out``: they would take each other's checkpoints away."""
    out.mkdir(parents=True, exist_ok=True)
    busy = f"another process trains in {out}: wait until it is done, or choose another folder"
    return alone(out / _LOCK_FILE, busy)


def _task(recipe: Recipe) -> Task:
    if recipe.task not in TASKS:
        raise SetupError(f"there is no task {recipe.task!r}; choose one of {', '.join(TASKS)}")
    if recipe.characters not in CHARACTERS:
        raise SetupError(
            f"prompts cannot tell {recipe.characters!r}; choose one of {', '.join(CHARACTERS)}"
        )
    return replace(TASKS[recipe.task], characters=recipe.characters)


def _examples(
    recipe: Recipe, task: Task, arguments: TrainingArguments, progress: Progress | None
) -> tuple[Dataset, Examples, Examples]:
    """The dataset, what is learned from, and what chooses the weights."""
    cache, side = recipe.cache or recipe.out / "cache", round(arguments.image_size * _UNCROPPED)
    dataset = read_dataset(recipe.data, recipe.folder, split=recipe.split, scale=recipe.scale)
    skip = recipe.skip_unusable
    examples = gather(task, dataset, cache, side, progress, skip_unusable=skip)
    if isinstance(recipe.validation, str):
        other = read_dataset(
            recipe.data, recipe.folder, split=recipe.validation, scale=recipe.scale
        )
        learned = examples.attributes
        held_out = gather(task, other, cache, side, progress, learned, skip_unusable=skip)
        _check_apart(recipe, examples.photos, held_out.photos)
        return dataset, examples, held_out
    if not 0 < recipe.validation < 1:
        raise SetupError(
            f"a share of {recipe.validation:g} cannot be held out for validation; choose one "
            "between 0 and 1, e.g. 0.1"
        )
    kept, held = divide(examples.photos, recipe.validation, arguments.seed)
    return dataset, replace(examples, photos=kept), Examples(held, examples.attributes)


def _check_apart(recipe: Recipe, learned: PhotoSet, held_out: PhotoSet) -> None:
    """Refuse a split to validate on that is learned by heart; other people's scores are not."""
    both = _labels(learned) & _labels(held_out)
    if both:
        raise DatasetError(
            f"{len(both)} examples of the split {recipe.validation!r}, such as {min(both)[0]}, are "
            f"in {recipe.split!r}, which is trained on: they cannot choose the weights. Name "
            "another split, or a share such as 0.1"
        )


def _labels(photos: PhotoSet) -> set[tuple[str, str]]:
    """Photos, and whose scores of them where they are one person's."""
    return set(zip(photos.names, photos.people or ("",) * len(photos), strict=True))


def _check_ranking(held_out: Examples) -> None:
    """Refuse validation examples of which none can say which weights are the best."""
    photos = held_out.photos
    if correlations(photos.scores, photos, held_out.attributes):
        return
    whose = "" if photos.people is None else " by one person"
    raise DatasetError(
        f"{len(photos)} validation examples cannot choose the weights: that takes at least "
        f"{FEWEST} scores{whose}. Hold out a larger share, or name a split to validate on"
    )


def _teacher(
    recipe: Recipe, arguments: TrainingArguments, model: AesMamba, devices: Devices
) -> Teacher | None:
    if recipe.teacher is None:
        return None
    teacher = open_teacher(recipe.teacher, model.config, home_folder(), devices.device)
    if arguments.soft_targets:
        check_scores(teacher, devices.device)
    return teacher


def _terms(recipe: Recipe, data: Dataset) -> str:
    if recipe.data.startswith("para"):
        return LICENSE
    return f"see the terms of {data.name}, which it was trained on"


def _claim(recipe: Recipe, seed: int, photos: int | None = None) -> None:
    """Let ``out`` be this recipe's; how long and how fast it trains may change.

    The seed may not, nor the number of photos once it is known: the validation photos were drawn by
    both, and others would have been learned from.
    """
    wanted: dict[str, Any] = {
        key: str(value)
        for key, value in dataclasses.asdict(recipe).items()
        if key not in ("out", "cache", "name", "license", "arguments")
    }
    wanted["folder"] = str(recipe.folder.absolute())
    wanted["seed"] = str(seed)
    if photos is not None:
        wanted["number_of_photos"] = str(photos)
    file = recipe.out / _RUN_FILE
    learned = (recipe.out / CHECKPOINT_FILE).is_file() or (recipe.out / MODEL_FOLDER).is_dir()
    if not file.is_file() or not learned:  # a mistyped option must not keep the folder
        file.write_text(json.dumps(wanted, indent=2) + "\n")
        return
    found = json.loads(file.read_text())
    if "folder" in found:  # earlier versions kept it as it was typed
        found["folder"] = str(Path(found["folder"]).absolute())
    other = [key for key in wanted if found.get(key, wanted[key]) != wanted[key]]
    if other:
        key = other[0]
        raise SetupError(
            f"{recipe.out} holds another run: its {key} is {found.get(key)}, not {wanted[key]}. "
            "Choose another folder."
        )


def _keep(model: AesMamba, reference: Tensor, card: str, folder: Path) -> None:
    """Write the finished model folder; an earlier one is replaced as a whole."""
    partial = folder.with_name(f".partial-{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    save_model(model.cpu().eval(), partial)
    save_reference(partial, reference)
    (partial / "README.md").write_text(card, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _card(recipe: Recipe, data: Dataset, model: AesMamba, outcome: Outcome) -> str:
    """The model card: what it was trained on, and how well it did where its weights were chosen."""
    figures = "".join(f"| {name} | {value:.3f} |\n" for name, value in outcome.validation.items())
    return (
        f"# {model.config.name}\n\n"
        f"AesMamba-{_task(recipe).variant}, trained for {recipe.task} on {outcome.examples} "
        f"examples of {data.name} with aesmamba-sdk. Scores are of {model.config.scale}.\n"
        f"Licence: {model.config.license}.\n\n"
        f"On the {outcome.held_out} validation examples, which chose the weights and are "
        "therefore no test:\n\n"
        f"| figure | value |\n|---|--:|\n{figures}"
    )
