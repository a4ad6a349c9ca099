"""The four tasks of the paper: what each learns from a dataset, and the settings it begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.model.captions import clean_caption
from aesmamba_sdk.profiles.prompts import CHARACTERS, SubjectPrompt
from aesmamba_sdk.profiles.traits import Traits
from aesmamba_sdk.runs import Progress
from aesmamba_sdk.train.data import PhotoSet, Rows
from aesmamba_sdk.train.datasets import Dataset
from aesmamba_sdk.train.loop import TrainingArguments

_VALUE = "aesthetic"

PAPER = TrainingArguments(
    epochs=50,
    batch_size=64,
    learning_rate=1e-4,
    warmup=0.0,
    final_rate=1e-6,
    weight_decay=0.01,
    image_size=224,
    keep_best=True,
)
"""Section 4.1.3; epochs and weight decay, which the paper does not tell, as in its code."""


@dataclass(frozen=True)
class Task:
    """One of the paper's tasks.

    Attributes:
        variant: the AesMamba that does it.
        arguments: its settings.
        characters: what prompts tell of people, a key of ``CHARACTERS`` (section 4.5.2).
    """

    variant: Literal["V", "F", "M", "P"]
    arguments: TrainingArguments
    characters: str = "all"

    @property
    def reads(self) -> Literal["prompt", "caption"] | None:
        """The texts it learns from."""
        return {"M": "caption", "P": "prompt"}.get(self.variant)  # type: ignore[return-value]


_WITH_TEXT = replace(PAPER, photo_alone=0.1)
TASKS: Mapping[str, Task] = {
    "giaa": Task("V", PAPER),
    "fiaa": Task("F", PAPER),
    "miaa": Task("M", _WITH_TEXT),
    "piaa": Task("P", replace(_WITH_TEXT, learning_rate=4e-5, batch_size=50)),
}


@dataclass(frozen=True)
class Examples:
    """What a task learns from a dataset.

    Attributes:
        photos: labels of ``attributes`` alone, with the votes, texts and people of the task.
        attributes: in order; those nobody scored are left out.
        skipped: photos of the dataset that cannot be used.
    """

    photos: PhotoSet
    attributes: tuple[str, ...]
    skipped: int = 0


def gather(
    task: Task,
    dataset: Dataset,
    cache: Path,
    side: int,
    progress: Progress | None = None,
    attributes: tuple[str, ...] | None = None,
    *,
    skip_unusable: bool = False,
) -> Examples:
    """Examples of a dataset.

    Args:
        task: V learns votes where they are known, else the aesthetic score; F every attribute's
            score; M as V, with the captions; P each person's own scores, with their prompt.
        dataset: any split.
        cache: where decoded photos are kept.
        side: photos are squashed to side x side pixels.
        progress: is told how many photos are decoded.
        attributes: to learn; by default all that the task learns and somebody scored, of photos
            that can be used.
        skip_unusable: go on without photos that are missing or unreadable.

    Raises:
        DatasetError: the dataset has not what the task needs, or photos cannot be read.
    """
    _check_scales(dataset)
    if task.variant == "P":
        _check_people(dataset)
    if attributes is None:
        _scored(task, dataset)  # what is missing is told before all photos are decoded
    usable, photos = dataset.usable(cache, side, progress, skip=skip_unusable)
    if task.variant == "P" and not usable.ratings:
        raise DatasetError(
            f"no photo of {dataset.name} that people rated can be used; piaa needs some"
        )
    attributes = attributes or _scored(task, usable)  # perhaps others were of skipped photos alone
    columns = [dataset.attributes.index(name) for name in attributes]
    if task.variant == "P":
        photos = _of_people(photos, usable, task.characters)
    if task.variant in "VM" and any(sample.votes.get(_VALUE) for sample in usable.samples):
        photos = replace(photos, votes=usable.votes(_VALUE))
    if task.variant == "M":
        photos = replace(photos, texts=_captions(usable))
    photos = replace(photos, scores=photos.scores[:, columns])
    return Examples(photos, attributes, len(dataset) - len(usable))


def divide(photos: PhotoSet, share: float, seed: int) -> tuple[PhotoSet, PhotoSet]:
    """Training and validation examples, without a photo in common, nor a person.

    Args:
        share: of the photos, and of the people, that are held out.
        seed: of the draw.

    Raises:
        DatasetError: nothing is left on one side.
    """
    _, photo = photos.once()
    held = _drawn(photo, share, seed)
    kept = ~held
    if photos.people is not None:
        person = _drawn(np.unique(photos.people, return_inverse=True)[1], share, seed + 1)
        held, kept = held & person, kept & ~person
    if not held.any() or not kept.any():
        raise DatasetError(
            f"{len(photos)} examples cannot be divided with a share of {share:g} for validation: "
            "hold out more, or name a split to validate on"
        )
    return photos.subset(np.flatnonzero(kept)), photos.subset(np.flatnonzero(held))


def _drawn(group: Rows, share: float, seed: int) -> NDArray[np.bool_]:
    """Whether each member's group is among those drawn."""
    number = int(group.max()) + 1
    order = np.random.default_rng(seed).permutation(number)
    drawn: NDArray[np.bool_] = np.isin(group, order[: max(1, round(share * number))])
    return drawn


def _scored(task: Task, dataset: Dataset) -> tuple[str, ...]:
    scores = _ratings(dataset) if task.variant == "P" else dataset.scores()
    labelled = (~scores.isnan().all(0)).tolist()
    names = tuple(n for n, known in zip(dataset.attributes, labelled, strict=True) if known)
    if _VALUE not in names:
        raise DatasetError(f"{dataset.name} has no scores of the attribute {_VALUE}")
    if task.variant in "VM":
        return (_VALUE,)
    if task.variant == "F" and len(names) == 1:
        raise DatasetError(f"{dataset.name} has no attributes beside the score: train giaa on it")
    return names


def _ratings(dataset: Dataset) -> Tensor:
    """(ratings, attributes)."""
    return torch.tensor([rating.scores for rating in dataset.ratings])


def _check_scales(dataset: Dataset) -> None:
    if any(scale != dataset.scale for scale in dataset.scales):
        raise DatasetError(
            f"the attributes of {dataset.name} are on several scales; a model has one"
        )


def _check_people(dataset: Dataset) -> None:
    if not dataset.ratings:
        raise DatasetError(f"{dataset.name} has no ratings by individual people; piaa needs them")
    if not any(traits.to_dict() for traits in dataset.people.values()):
        raise DatasetError(
            f"nothing is known of the people who rated {dataset.name}: their prompts would be empty"
        )


def _of_people(photos: PhotoSet, dataset: Dataset, characters: str) -> PhotoSet:
    nobody, told = Traits(), CHARACTERS[characters]
    users = tuple(rating.user for rating in dataset.ratings)
    prompts = {
        user: SubjectPrompt(dataset.people.get(user, nobody).only(told)).for_model()
        for user in set(users)
    }
    place = np.array([rating.sample for rating in dataset.ratings], dtype=np.int64)
    return replace(
        photos.subset(place),
        scores=_ratings(dataset),
        texts=tuple(prompts[user] for user in users),
        people=users,
    )


def _captions(dataset: Dataset) -> tuple[str, ...]:
    captions = tuple(clean_caption(sample.texts) for sample in dataset.samples)
    if not any(captions):
        raise DatasetError(f"{dataset.name} has no captions; miaa needs them")
    return captions
