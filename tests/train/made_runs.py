"""Small folders to learn from, and runs on them that take a second or few."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from aesmamba_sdk.train.loop import TrainingArguments
from aesmamba_sdk.train.recipe import Recipe
from aesmamba_sdk.train.start import Start
from aesmamba_sdk.train.tasks import TASKS

SIDE = 16


def arguments(task: str, **changes: object) -> TrainingArguments:
    """The task's own, at a size and rate that suit a toy."""
    small = {
        "epochs": 25, "batch_size": 16, "learning_rate": 3e-3, "image_size": SIDE, "ema": 0.9,
        "log_steps": 20,
    }  # fmt: skip
    return replace(TASKS[task].arguments, **(small | changes))


def recipe(task: str, folder: Path, model: Path, out: Path, **changes: object) -> Recipe:
    """A run on a folder with a table, from a toy model."""
    settings = changes.pop("arguments", None) or arguments(task)
    start = Start(model=str(model))
    return replace(
        Recipe(task, "folder", folder, out, start=start, validation=0.2),
        arguments=settings,
        **changes,
    )


def colours(folder: Path, count: int, seed: int = 0) -> np.ndarray:
    """Plain photos ``0.png``, ``1.png``, …; returns their red, green and blue, 0-1."""
    folder.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).uniform(0.1, 0.9, (count, 3))
    for i, value in enumerate(values):
        colour = tuple(int(v) for v in (255 * value).round())
        Image.new("RGB", (20, 20), colour).save(folder / f"{i}.png")
    return values


def table(folder: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    file = folder / "labels.csv"
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*header, "split"])
        writer.writerows([*row, "train"] for row in rows)
    return file


def stars(value: float) -> float:
    """0-1 to 1-5."""
    return round(1 + 4 * float(np.clip(value, 0, 1)), 3)
