"""The ablations of section 4.5: variants of one training recipe, and what each of them reaches.

``mba`` leaves out the scale categories or their balance (4.5.1), ``smp`` leaves out what prompts
tell of people (4.5.2). A variant is a change of a recipe, so ``aesmamba train`` makes it as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from aesmamba_sdk.errors import DatasetError, SetupError
from aesmamba_sdk.evaluate.data import Figures, good_score
from aesmamba_sdk.evaluate.figures import (
    Points,
    bar_chart,
    box_plot,
    require_matplotlib,
    scatter_plot,
)
from aesmamba_sdk.evaluate.report import Result, Table
from aesmamba_sdk.evaluate.statistics import Runs
from aesmamba_sdk.metrics import accuracy, plcc, srcc
from aesmamba_sdk.model.folder import load_model
from aesmamba_sdk.profiles.prompts import CHARACTERS
from aesmamba_sdk.runs import Progress
from aesmamba_sdk.scores import ATTRIBUTES
from aesmamba_sdk.train.correlations import FEWEST, people_rows
from aesmamba_sdk.train.datasets import Dataset, read_dataset
from aesmamba_sdk.train.devices import Devices, open_devices
from aesmamba_sdk.train.recipe import Recipe, train
from aesmamba_sdk.train.tasks import TASKS, Task, gather
from aesmamba_sdk.train.views import predict

INDICES = ("accuracy", "PLCC", "SRCC")
GENERIC = "generic"
_FEWEST_OF_CATEGORY = 10
_LEAST_SRCC = 0.05  # changes relative to less than this tell nothing


@dataclass(frozen=True)
class Variant:
    """One configuration of an ablation.

    Attributes:
        name: as the paper calls it.
        said: what it is, in words.
        categories: how scale categories are learned.
        characters: what prompts tell of people.
    """

    name: str
    said: str
    categories: Literal["balanced", "plain", "none"] = "balanced"
    characters: str = "all"

    def of(self, recipe: Recipe) -> Recipe:
        """The recipe with this variant's change."""
        arguments = recipe.arguments or TASKS[recipe.task].arguments
        return replace(
            recipe,
            characters=self.characters,
            arguments=replace(arguments, categories=self.categories),
        )


MBA = (
    Variant("Model-A", "adapter and score loss", categories="none"),
    Variant("Model-B", "Model-A and cross-entropy of the scale categories", categories="plain"),
    Variant("Model-C", "Model-A and balanced cross-entropy of the scale categories"),
)
_TOLD = {
    "none": "nothing",
    "art": "artistic experience",
    "photo": "photographic experience",
    "personality": "the Big Five",
    "all": "all that is known",
}
SMP = tuple(Variant(name, f"prompts tell {_TOLD[name]}", characters=name) for name in CHARACTERS)
ABLATIONS: Mapping[str, Sequence[Variant]] = {"mba": MBA, "smp": SMP}
_COMPARED = {"mba": None, "smp": ATTRIBUTES[:1]}
"""Attributes that are measured, by default all: a generic score is of one alone."""


@dataclass(frozen=True)
class Measured:
    """What one trained model reaches on the test photos.

    Attributes:
        indices: (groups, 3) accuracy, PLCC and SRCC, means over the attributes; a group is a
            person, or all photos where labels are means.
        attributes: that were measured.
        categories: (attributes, categories) SRCC within each scale category, NaN where there
            are too few photos.
        photos: how many were measured on.
    """

    indices: Figures
    attributes: tuple[str, ...]
    categories: Figures
    photos: int


def ablate(
    name: str,
    recipe: Recipe,
    test: str,
    seeds: Sequence[int],
    *,
    devices: Devices | None = None,
    progress: Progress | None = None,
) -> Result:
    """Train every variant with every seed, measure it, and draw the paper's figures.

    Args:
        name: a key of ``ABLATIONS``.
        recipe: of the full model; with ``smp`` a model of the mean labels is trained likewise.
            Every run has a folder in its ``out``, where the pictures go too; one that is finished
            is not trained again.
        test: split that is measured; nothing is chosen on it.
        seeds: of the runs.
        devices: as :func:`train` takes them.
        progress: is told what is under way.

    Returns:
        The tables; in all processes but the first, which alone measures and draws, none.

    Raises:
        SetupError: the recipe cannot be carried out, or matplotlib is missing.
        DatasetError: the dataset is not as its reader expects, or photos of ``test`` cannot be
            used, or too few of them have labels.
    """
    if name == "smp" and recipe.task != "piaa":
        raise SetupError(f"prompts belong to the task piaa, not to {recipe.task}")
    require_matplotlib()  # before hours of training, not after them
    devices = devices or open_devices()
    data = read_dataset(recipe.data, recipe.folder, split=test, scale=recipe.scale)
    cache = recipe.cache or recipe.out / "cache"
    recipe, skip = replace(recipe, cache=cache), recipe.skip_unusable
    if devices.first:
        _check_measurable(recipe, data, cache, progress)
    measured: dict[str, list[Measured]] = {}

    def run(variant: str, changed: Recipe, seed: int) -> None:
        settings = replace(changed.arguments or TASKS[changed.task].arguments, seed=seed)
        out = recipe.out / f"{variant}-{seed}"
        changed = replace(changed, arguments=settings, out=out)
        model = train(changed, devices=devices, progress=progress).model
        if devices.first:
            task = replace(TASKS[recipe.task], characters=changed.characters)
            found = measure(model, task, data, cache, _COMPARED[name], skip_unusable=skip)
            measured.setdefault(variant, []).append(found)

    for seed in seeds:
        if name == "smp":
            start = replace(recipe.start, text=None)
            run(GENERIC, replace(recipe, task="giaa", start=start), seed)
        for variant in ABLATIONS[name]:
            run(variant.name, variant.of(recipe), seed)
    result = Result(f"ablation {name}")
    if devices.first:
        result.tables = (
            _mba(measured, recipe, data) if name == "mba" else _smp(measured, recipe.out)
        )
        photos = next(iter(measured.values()))[0].photos
        result.settings = {"data": data.name, "photos": photos, "runs": len(seeds)}
    return result


def _check_measurable(
    recipe: Recipe, data: Dataset, cache: Path, progress: Progress | None
) -> None:
    """Tell what cannot be measured before hours of training, not after them."""
    task = TASKS[recipe.task]
    side, names = (recipe.arguments or task.arguments).image_size, ATTRIBUTES[:1]
    skip = recipe.skip_unusable
    photos = gather(task, data, cache, side, progress, names, skip_unusable=skip).photos
    labelled = ~photos.scores[:, 0].isnan().numpy()
    if max(labelled[rows].sum() for rows in people_rows(photos)) < FEWEST:
        raise _too_few(data)


def _too_few(data: Dataset) -> DatasetError:
    return DatasetError(
        f"{data.name} has too few labels to measure anything: that takes {FEWEST} of one person, "
        "or of all photos where labels are means"
    )


def measure(
    model: Path,
    task: Task,
    data: Dataset,
    cache: Path,
    attributes: tuple[str, ...] | None = None,
    *,
    skip_unusable: bool = False,
) -> Measured:
    """Accuracy, PLCC and SRCC of a finished model; per person where the labels are theirs.

    Constant scores or labels count as 0.

    Args:
        model: its folder. One without text scores photos alone.
        task: whose examples, and what their prompts tell.
        data: test photos.
        cache: where decoded photos are kept.
        attributes: to measure, by default all that the model scores.
        skip_unusable: go on without photos that are missing or unreadable.
    """
    network = load_model(model).eval()
    config = network.config
    side, names = config.image_size, attributes or config.attributes
    photos = gather(task, data, cache, side, attributes=names, skip_unusable=skip_unusable).photos
    predicted = predict(network, photos, side, alone=config.text is None)
    scores = predicted[:, [config.attributes.index(name) for name in names]].double().numpy()
    labels = photos.scores.double().numpy()
    good = good_score(data, config.scale)
    columns = range(labels.shape[1])
    indices = []
    for rows in people_rows(photos):
        pairs = [_known(scores[rows, i], labels[rows, i]) for i in columns]
        if min(len(x) for x, _ in pairs) >= FEWEST:
            found = [(accuracy(x, y, good), plcc(x, y), srcc(x, y)) for x, y in pairs]
            indices.append(np.mean(found, axis=0))
    if not indices:
        raise _too_few(data)
    classes = data.categories(photos.scores).numpy()
    within = [
        [
            _within(scores[classes[:, i] == category, i], labels[classes[:, i] == category, i])
            for category in range(data.categories.number)
        ]
        for i in columns
    ]
    once, _ = photos.once()
    return Measured(np.array(indices), names, np.array(within), len(once))


def _known(scores: Figures, labels: Figures) -> tuple[Figures, Figures]:
    known = ~np.isnan(labels)
    return scores[known], labels[known]


def _within(scores: Figures, labels: Figures) -> float:
    return srcc(scores, labels) if len(labels) >= _FEWEST_OF_CATEGORY else float("nan")


def _mba(measured: Mapping[str, list[Measured]], recipe: Recipe, data: Dataset) -> list[Table]:
    """Figures 6 and 7 of the paper, as tables and pictures; ± is the deviation over seeds."""
    table = Table("Multitask balanced adaptation", ("variant", "what it is", *INDICES), decimals=3)
    bars = {}
    for variant in MBA:
        means = np.array([run.indices.mean(0) for run in measured[variant.name]])
        bars[variant.name] = [Runs.of(figures) for figures in means.T]
        table.add(variant.name, variant.said, *bars[variant.name])
    bar_chart(recipe.out / "mba.png", INDICES, bars, "mean over the attributes")
    return [table, _category_table(measured, recipe, data)]


def _category_table(measured: Mapping[str, list[Measured]], recipe: Recipe, data: Dataset) -> Table:
    """How categories change SRCC within each scale category, beside its share in training."""
    learned = read_dataset(recipe.data, recipe.folder, split=recipe.split, scale=recipe.scale)
    names = measured[MBA[0].name][0].attributes
    counts = learned.class_counts().numpy()[[learned.attributes.index(name) for name in names]]
    shares = 100 * counts / counts.sum(1, keepdims=True)
    within = {
        name: np.mean([r.categories for r in runs], axis=0) for name, runs in measured.items()
    }
    base = within[MBA[0].name]
    base = np.where(base > _LEAST_SRCC, base, np.nan)
    changes = {v.name: 100 * (within[v.name] - base) / base for v in MBA[1:]}
    points: dict[str, Points] = {
        name: [(x, y) for x, y in zip(shares.flat, change.flat, strict=True) if not np.isnan(y)]
        for name, change in changes.items()
    }
    across, up = "share of the category in training, %", "change of SRCC from Model-A, %"
    scatter_plot(recipe.out / "categories.png", points, across, up)
    columns = [f"{name}: change of SRCC, %" for name in changes]
    table = Table("Scale categories", ("category", "share in training, %", *columns), decimals=1)
    for category in range(data.categories.number):
        cells = [_mean(change[:, category]) for change in changes.values()]
        table.add(category + 1, float(shares[:, category].mean()), *cells)
    table.notes.append(
        f"Means over the attributes with {_FEWEST_OF_CATEGORY} test photos of the category, on "
        f"which Model-A's SRCC is above {_LEAST_SRCC:g}; empty where there are none."
    )
    return table


def _smp(measured: Mapping[str, list[Measured]], out: Path) -> list[Table]:
    """Figure 8 of the paper, and the people behind its means."""
    columns = ("prompts", "what it is", *INDICES[1:], *(f"change of {x}" for x in INDICES[1:]))
    table = Table("Subject multi-character prompts", columns, decimals=3)
    means = {
        name: np.array([r.indices.mean(0)[1:] for r in runs]) for name, runs in measured.items()
    }
    table.add(GENERIC, "one score for everybody", *map(Runs.of, means[GENERIC].T), None, None)
    bars = {}
    for variant in SMP:
        changes = means[variant.name] - means[GENERIC]
        bars[variant.name] = [Runs.of(change) for change in changes.T]
        figures = [Runs.of(x) for x in means[variant.name].T]
        table.add(variant.name, variant.said, *figures, *bars[variant.name])
    bar_chart(out / "smp.png", INDICES[1:], bars, "change from the generic score")
    people = {
        name: np.concatenate([r.indices[:, 2] for r in runs]) for name, runs in measured.items()
    }
    box_plot(out / "people.png", {k: v.tolist() for k, v in people.items()}, "SRCC of each person")
    count = len(measured[GENERIC][0].indices)
    table.notes.append(f"Of the {ATTRIBUTES[0]} score alone; means over {count} people.")
    return [table]


def _mean(values: Figures) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None
